"""Training batches: a function of seed and step, whoever asks and from wherever."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from stn_tf.data import DecodedImages, Part, TrainingImages, data_errors, keys, load_collection
from stn_tf.errors import ConfigError, DataError
from tests.data.trees import input_spec, write_tree

CLASSES = ("cat", "dog", "owl")
Batch = tuple[np.ndarray, ...]


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Part:
    counts = {"cat": 14, "dog": 4, "owl": 3}
    return load_collection(write_tree(tmp_path_factory.mktemp("images"), counts)).everything


class Brighten:
    """An augmentation that adds a number, drawn for each image, and cuts out the top left."""

    def draw(self, key: tf.Tensor, count: int) -> dict[str, tf.Tensor]:
        return {"by": keys.uniform(key, (count,), 0.0, 0.5)}

    def apply(
        self, images: tf.Tensor, parameters: dict[str, tf.Tensor], size: tuple[int, int]
    ) -> tf.Tensor:
        images = tf.cast(images, tf.float32) / 510.0 + parameters["by"][:, None, None, None]
        return images[:, : size[0], : size[1]]


def mix(
    key: tf.Tensor, first_pair: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes neighbours by a share that is drawn for each pair of the global batch."""
    pairs = tf.cast(first_pair, tf.int64) + tf.range(images.shape[0] // 2, dtype=tf.int64)
    shares = tf.map_fn(
        lambda pair: keys.uniform(keys.fold(key, pair), (), 0.0, 1.0),
        pairs,
        fn_output_signature="float32",
    )
    shares = tf.repeat(shares, 2)

    def mixed(values: tf.Tensor) -> tf.Tensor:
        other = tf.reverse(tf.reshape(values, [-1, 2, *values.shape[1:]]), [1])
        own = tf.reshape(shares, [-1] + [1] * (values.shape.rank - 1))
        return own * values + (1 - own) * tf.reshape(other, values.shape)

    return mixed(images), mixed(labels)


SETTINGS = {
    "plain": {},
    "balanced": {"balance": "sampling", "augmentation": Brighten(), "size": (6, 7)},
    "mixed": {"mixing": mix, "augmentation": Brighten(), "class_weights": {"dog": 3.0}},
}


def training(part: Part, **settings) -> TrainingImages:
    images = DecodedImages(part, input_spec(8, 8))
    return TrainingImages(images, part.labels, CLASSES, **({"batch_size": 8, "seed": 5} | settings))


def take(data: TrainingImages, start: int, count: int, **sharing) -> list[Batch]:
    batches = data.batches(start, **sharing).take(count)
    return [tuple(part.numpy() for part in batch) for batch in batches]


def assert_equal(one: Sequence[Batch], other: Sequence[Batch]) -> None:
    assert len(one) == len(other)
    for first, second in zip(one, other, strict=True):
        assert len(first) == len(second)
        for left, right in zip(first, second, strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_batch_depends_on_seed_and_step_alone(settings: dict, part: Part) -> None:
    data = training(part, **settings)
    batches = take(data, 0, 7)
    assert_equal(take(training(part, **settings), 0, 2), batches[:2])
    assert_equal(take(data, 5, 2), batches[5:])
    ((other, *_),) = take(training(part, **settings, seed=6), 0, 1)
    assert (other != batches[0][0]).any()


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_replicas_share_the_same_global_batches(settings: dict, part: Part) -> None:
    data = training(part, **settings)
    batches = take(data, 2, 3)
    for replicas, workers in ((2, [[0, 1]]), (4, [[2], [3, 1, 0]])):
        slices = {}
        for ids in workers:
            found = take(data, 2, 3 * len(ids), replicas=replicas, replica_ids=ids)
            for step in range(3):
                for place, number in enumerate(ids):
                    slices[step, number] = found[step * len(ids) + place]
        for step, batch in enumerate(batches):
            for column, values in enumerate(batch):
                joined = [slices[step, number][column] for number in range(replicas)]
                np.testing.assert_array_equal(np.concatenate(joined), values)


def test_shapes_and_types_are_static(part: Part) -> None:
    data = training(part, augmentation=Brighten(), size=(6, 7), balance="weights")
    images, labels, weights = data.batches(replicas=2, replica_ids=[1]).element_spec
    assert (images.shape, images.dtype) == ((4, 6, 7, 3), tf.float32)
    assert (labels.shape, labels.dtype) == ((4, 3), tf.float32)
    assert (weights.shape, weights.dtype) == ((4,), tf.float32)
    assert len(training(part).batches().element_spec) == 2


def test_every_image_comes_once_before_any_comes_again(part: Part) -> None:
    data = training(part, batch_size=7)
    pixels = data.images.pixels(np.arange(21)).astype(np.float32) / 255
    shown = []
    for images, labels in take(data, 0, 6):
        for image, label in zip(images, labels, strict=True):
            (index,) = np.flatnonzero((pixels == image).all(axis=(1, 2, 3)))
            assert label.argmax() == part.labels[index]
            assert label.sum() == 1
            shown.append(index)
    assert sorted(shown[:21]) == sorted(shown[21:]) == list(range(21))
    assert shown[:21] != shown[21:]


def test_balanced_batches_show_classes_equally(part: Part) -> None:
    counts = sum(labels.sum(axis=0) for _, labels in take(training(part, balance="sampling"), 0, 6))
    np.testing.assert_array_equal(counts, 16)


def test_weights_follow_the_labels(part: Part) -> None:
    for _, labels, weights in take(training(part, class_weights={"dog": 3.0, "owl": 0.5}), 0, 2):
        np.testing.assert_allclose(weights, labels @ [1, 3, 0.5])
    for _, labels, weights in take(training(part, balance="weights"), 0, 1):
        np.testing.assert_allclose(weights, labels @ (7 / np.array([14, 4, 3])), rtol=1e-6)
    mixed = take(training(part, **SETTINGS["mixed"]), 0, 2)
    for _, labels, weights in mixed:
        np.testing.assert_allclose(weights, labels @ [1, 3, 1], rtol=1e-6)
        assert ((labels > 0).sum(axis=1) > 1).any()


@pytest.mark.parametrize("cache", ["disk", "none"])
def test_caches_give_the_same_batches(cache: str, part: Part, tmp_path: Path) -> None:
    images = DecodedImages(part, input_spec(8, 8), cache=cache, cache_dir=tmp_path)
    data = TrainingImages(images, part.labels, CLASSES, batch_size=8, seed=5)
    assert_equal(take(data, 0, 6), take(training(part), 0, 6))


def test_notes_tell_the_cache_and_unequal_classes(part: Part) -> None:
    cache, classes = training(part).notes
    assert cache.startswith("21 decoded images are kept in memory")
    assert classes.startswith("The classes are unequal, from 3 training images of owl to 14 of cat")


def test_a_damaged_image_stops_training_by_name(tmp_path: Path) -> None:
    damaged = load_collection(write_tree(tmp_path, {"cat": 3, "dog": 3})).everything
    (tmp_path / "dog" / "1.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"dog/1\.png cannot be read: .*=skip\.$"), data_errors():
        take(training(damaged), 0, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1, but it is 0"),
        ({"balance": "some"}, r"`balance` must be one of none, sampling, weights, .* it is 'some'"),
        ({"class_weights": {"bird": 1.0}}, "`class_weights` names bird, but the classes are cat"),
        ({"class_weights": {"cat": 2.0}, "balance": "weights"}, "`class_weights` stand instead of"),
    ],
)
def test_wrong_settings_exception_raised(settings: dict, message: str, part: Part) -> None:
    with pytest.raises(ConfigError, match=message):
        training(part, **settings)


def test_wrong_arguments_exception_raised(part: Part) -> None:
    images = DecodedImages(part, input_spec(8, 8))
    with pytest.raises(ValueError, match="`labels` must be one for each of `images`"):
        TrainingImages(images, part.labels[1:], CLASSES, batch_size=2)
    with pytest.raises(ValueError, match=r"`size` must be that of the images, \(8, 8\), without"):
        training(part, size=(8, 9))
    data = training(part, mixing=mix)
    with pytest.raises(ConfigError, match="`batch_size` must be a multiple of the 3 replicas"):
        data.batches(replicas=3, replica_ids=[0])
    with pytest.raises(ConfigError, match="`batch_size` must be even for each replica"):
        data.batches(replicas=8, replica_ids=[0])
    with pytest.raises(ValueError, match=r"`replica_ids` must be numbers from 0 to 1, .*\[2\]"):
        data.batches(replicas=2, replica_ids=[2])
    with pytest.raises(ValueError, match="`start_step` must be at least 0, but it is -1"):
        data.batches(-1)
