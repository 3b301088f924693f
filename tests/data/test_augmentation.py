"""The settings of augmentation, and what holds for all of them together."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stn_tf.data import DecodedImages, TrainingImages, keys, load_collection
from stn_tf.data.augmentation import PRESETS, Augmentation
from stn_tf.errors import ConfigError
from stn_tf.interface import InputSpec

_EVERYTHING = {
    "base": "strong",
    "flip": "both",
    "scale": (0.4, 1.5),
    "translate": 0.1,
    "erase": 0.7,
    "grayscale": 0.3,
}


@pytest.fixture
def images(rng) -> np.ndarray:
    """Smooth colours with some noise, so that every pixel matters. uint8 `[8, 40, 46, 3]`."""
    coarse = rng.integers(0, 256, (8, 5, 6, 3)).astype(np.float32)
    smooth = tf.image.resize(coarse, (40, 46)).numpy()
    return np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_without_anything_the_image_comes_back_bit_for_bit(rng, channels):
    for size in ((28, 28), (37, 53), (224, 224)):
        images = rng.integers(0, 256, (2, *size, channels), dtype=np.uint8)
        none = Augmentation.of("none")
        assert none.draw(keys.make_key(0, 0), 2) == {}
        np.testing.assert_array_equal(none.apply(images, {}, size), images.astype("f4") / 255)


def test_grey_images_take_every_change(images):
    grey = images[..., :1]
    augmentation = Augmentation.of(_EVERYTHING)
    seen = augmentation.apply(grey, augmentation.draw(keys.make_key(0, 0), 8), (30, 34))
    assert seen.shape == (8, 30, 34, 1)
    assert 0 <= seen.numpy().min() < seen.numpy().max() <= 1


@pytest.mark.parametrize("settings", [*PRESETS, _EVERYTHING])
def test_a_slice_of_a_batch_is_what_the_batch_says(images, settings):
    augmentation = Augmentation.of(settings)
    drawn = augmentation.draw(keys.make_key(7, 1), 8)
    assert all(values.shape[0] == 8 for values in drawn.values())
    whole = augmentation.apply(images, drawn, (30, 34))
    for start, count in ((0, 4), (4, 4), (3, 1), (6, 2)):
        part = {name: values[start : start + count] for name, values in drawn.items()}
        alone = augmentation.apply(images[start : start + count], part, (30, 34))
        np.testing.assert_array_equal(alone, whole[start : start + count])


def test_in_tf_data_it_is_the_same_and_has_a_known_shape(images):
    augmentation = Augmentation.of(_EVERYTHING)
    stored = tf.constant(images)

    def batch(step: tf.Tensor) -> tf.Tensor:
        drawn = augmentation.draw(keys.fold(keys.make_key(7, 1), step), 8)
        return augmentation.apply(stored, drawn, (30, 34))

    dataset = tf.data.Dataset.range(3).map(batch, num_parallel_calls=2)
    assert dataset.element_spec == tf.TensorSpec([8, 30, 34, 3], tf.float32)
    first, again = list(dataset), list(dataset)
    for step in range(3):
        np.testing.assert_array_equal(first[step], again[step])
        np.testing.assert_allclose(first[step], batch(tf.constant(step, tf.int64)), atol=1e-5)
    assert np.abs(first[0] - first[1]).mean() > 0.01


def test_training_images_are_the_same_for_replicas_and_when_resumed(cub_dir):
    part = load_collection(cub_dir).train
    spec = InputSpec(
        name="images", dtype="float32", shape=(None, 32, 32, 3), layout="NHWC",
        color_space="rgb", value_range=(0.0, 1.0),
    )  # fmt: skip
    augmentation = Augmentation.of(_EVERYTHING)
    images = DecodedImages(part, spec, oversample=augmentation.oversample)

    def batches(start_step: int, count: int, **replicas: Any) -> list[tuple[np.ndarray, ...]]:
        data = TrainingImages(
            images, part.labels, list("abcdefghij"), batch_size=8, seed=3, size=(32, 32),
            augmentation=augmentation, mixing=augmentation.mixing(),
        )  # fmt: skip
        return list(data.batches(start_step, **replicas).take(count).as_numpy_iterator())

    whole = batches(0, 4)
    halves = batches(2, 4, replicas=2, replica_ids=(0, 1))
    for step, expected in enumerate(whole[2:]):
        for place in range(2):
            joined = np.concatenate([halves[2 * step][place], halves[2 * step + 1][place]])
            np.testing.assert_array_equal(joined, expected[place])
    labels = np.concatenate([labels for _, labels in whole])
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    assert ((labels > 0).sum(axis=1) == 2).any()


def test_a_setting_changes_only_its_own_numbers():
    key = keys.make_key(3, 3)
    few = Augmentation.of({"base": "none", "rotate": 30.0, "hue": 0.1}).draw(key, 6)
    assert set(few) == {"turn", "hue"}
    many = Augmentation.of(_EVERYTHING | {"rotate": 30.0, "hue": 0.1}).draw(key, 6)
    for name, values in few.items():
        np.testing.assert_array_equal(values, many[name])


def test_of_preset():
    assert Augmentation.of("none") == Augmentation()
    standard = Augmentation.of("standard")
    assert Augmentation.of({}) == standard
    assert Augmentation.of(standard) is standard
    assert (standard.flip, standard.rotate, standard.crop) == ("horizontal", 10.0, (0.6, 1.0))
    changed = Augmentation.of({"base": "any-angle", "crop": [0.5, 0.9], "rotate": 90})
    assert changed == Augmentation.of("any-angle").model_copy(
        update={"crop": (0.5, 0.9), "rotate": 90.0}
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("standart", "`augment` must be one of none, light, standard, strong, any-angle"),
        ({"base": "heavy"}, "but it is 'heavy'"),
        ({"rotation": 5}, "`augment.rotation` is not a setting. Did you mean `rotate`?"),
        ({"x": 5}, "`augment.x` is not a setting. There are: base, flip, rotate,"),
        ({"flip": "left"}, "`augment.flip` must be 'none', 'horizontal', 'vertical' or 'both'"),
        ({"rotate": -1}, "`augment.rotate` must be greater than or equal to 0, but it is -1."),
        ({"rotate": True}, "`augment.rotate` must be a valid number, but it is True."),
        ({"crop": 0.5}, "`augment.crop` must be two numbers, low and high, such as [0.6, 1.0]"),
        ({"crop": [0.5, "1"]}, "`augment.crop` must be two numbers"),
        ({"crop": [0.9, 0.5]}, "`augment.crop` must be (low, high) with 0 < low <= high <= 1"),
        ({"scale": [0, 1]}, "`augment.scale` must be (low, high) with 0 < low <= high <= 10"),
        (7, "`augment` must be one of none, light, standard, strong, any-angle, or a mapping"),
    ],
)
def test_of_exception_raised(value, message):
    with pytest.raises(ConfigError) as raised:
        Augmentation.of(value)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_summary_names_what_is_done_and_how_to_stop_a_flip():
    assert Augmentation.of("none").summary() == (
        "augmentation: none (augment=standard varies the images)"
    )
    assert Augmentation.of("standard").summary() == (
        "augmentation: flip horizontal (where that changes a class, as for text: "
        'augment={flip="none"}), rotate ±10°, crop 60%..100% of the area, brightness ±0.15, '
        "contrast ±0.2, saturation ±0.2"
    )
    everything = Augmentation.of(_EVERYTHING).summary()
    silent = {"elastic_points", "crop_aspect", "fill", "erase_area", "mix_probability"}
    for name in set(Augmentation.model_fields) - silent:
        assert f" {name} " in everything, name


def test_settings_import_no_tensorflow(root):
    code = (
        "import sys; from stn_tf.data.augmentation import Augmentation; "
        "print(Augmentation.of('strong').summary()); sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True)
