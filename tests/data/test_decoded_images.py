"""Images by number: the same whatever keeps them, and what happens to damaged ones."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from stn_tf.data import (
    DecodedImages,
    Part,
    data_errors,
    load_collection,
    read_image,
    stored_size,
    stored_spec,
)
from stn_tf.errors import ConfigError, DataError, ModelError
from tests.data.trees import input_spec, write_tree


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Part:
    root = write_tree(tmp_path_factory.mktemp("images"), {"cat": 6, "dog": 6})
    deep = np.arange(12 * 16, dtype=np.uint16).reshape(12, 16) * 300
    Image.fromarray(deep).save(root / "dog" / "deep.png")
    return load_collection(root).everything


SPECS = [
    input_spec(8, 10),
    input_spec(20, 8, 1, resize="squash", interpolation="bilinear"),
    input_spec(8, 8, resize="center_crop", crop_pct=0.8, antialias=False),
    input_spec(8, 10, shape=(None, 3, 8, 10), layout="NCHW", pad_value=128.0, mean=(0.5,)),
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("cache", ["auto", "memory", "disk", "none"])
def test_pixels_are_those_of_read_image(spec, cache: str, part: Part, tmp_path: Path) -> None:
    images = DecodedImages(part, spec, cache=cache, cache_dir=tmp_path)
    expected = [
        read_image(
            part.open(index),
            spec.size,
            spec.channels,
            resize=spec.resize,
            crop_pct=spec.crop_pct,
            pad_value=spec.pad_value,
            interpolation=spec.interpolation,
            antialias=spec.antialias,
        )
        for index in range(len(part))
    ]
    assert images.shape == expected[0].shape
    indices = np.array([3, 12, 0, 3, 7])
    for _ in range(2):
        np.testing.assert_array_equal(images.pixels(indices), np.stack(expected)[indices])
    np.testing.assert_array_equal(images.pixels(np.arange(len(part))), expected)
    assert images.pixels(np.array([], np.int64)).shape == (0, *images.shape)


def test_a_cache_on_disk_is_used_again(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "images", {"cat": 4, "dog": 4})
    part, cache = load_collection(root).everything, tmp_path / "cache"
    first = DecodedImages(part, input_spec(), cache="disk", cache_dir=cache)
    pixels = first.pixels(np.arange(8))
    del first
    stamp = {path: path.stat() for path in root.rglob("*.png")}
    for path in stamp:  # Other bytes, but by size and time the same file.
        path.write_bytes(b"\0" * stamp[path].st_size)
        os.utime(path, ns=(stamp[path].st_atime_ns, stamp[path].st_mtime_ns))
    again = DecodedImages(part, input_spec(), cache="disk", cache_dir=cache)
    np.testing.assert_array_equal(again.pixels(np.arange(8)), pixels)
    # Another size, and changed files, are other images.
    for changed in (input_spec(9), input_spec(resize="squash")):
        with pytest.raises(DataError, match="cannot be read"):
            DecodedImages(part, changed, cache="disk", cache_dir=cache).pixels(np.arange(8))
    for path in stamp:
        path.touch()
    with pytest.raises(DataError, match="cannot be read"):
        DecodedImages(part, input_spec(), cache="disk", cache_dir=cache).pixels(np.arange(8))


def test_what_does_not_fit_is_decoded_each_time(part: Part) -> None:
    images = DecodedImages(part, input_spec(8, 8), limit_bytes=5 * 192)
    assert images.notes == (
        "5 of 13 decoded images are kept in memory, where 0.00 GiB are free for them; the others "
        "are decoded each time (cache=auto; cache=disk keeps all).",
    )
    full = DecodedImages(part, input_spec(8, 8))
    assert full.notes == ("13 decoded images are kept in memory: 0.00 GiB (cache=auto).",)
    for _ in range(2):
        np.testing.assert_array_equal(images.pixels(np.arange(13)), full.pixels(np.arange(13)))


def test_read_in_a_graph(part: Part) -> None:
    images = DecodedImages(part, input_spec(8, 10))
    expected = images.pixels(np.arange(13))
    read = images.read(tf.constant([2, 5], tf.int64))
    np.testing.assert_array_equal(read, expected[[2, 5]])
    dataset = tf.data.Dataset.range(13).batch(4).map(images.read, num_parallel_calls=2)
    assert dataset.element_spec.shape.as_list() == [None, 8, 10, 3]
    np.testing.assert_array_equal(np.concatenate(list(dataset.as_numpy_iterator())), expected)
    traced = tf.function(images.read).get_concrete_function(tf.TensorSpec([4], tf.int64))
    assert traced.output_shapes.as_list() == [4, 8, 10, 3]


def test_stored_size_leaves_room_for_augmentation() -> None:
    assert stored_size(input_spec(100, 200)) == (115, 230)
    assert stored_size(input_spec(100, 200), 1) == (100, 200)
    crop = input_spec(100, 100, resize="center_crop", crop_pct=0.8)
    assert stored_size(crop) == (125, 125)
    assert stored_spec(crop).crop_pct == 1
    assert stored_spec(crop, 1) == crop
    assert stored_size(input_spec(224, 224, resize="center_crop", crop_pct=0.875)) == (258, 258)
    planes = input_spec(shape=(None, 3, 10, 20), layout="NCHW")
    assert stored_spec(planes, 2).shape == (None, 3, 20, 40)
    with pytest.raises(ValueError, match=r"`oversample` must be at least 1, but it is 0\.5"):
        stored_spec(crop, 0.5)
    with pytest.raises(ValueError, match="`spec` must be of a fixed height and width"):
        stored_spec(input_spec(shape=(None, None, 8, 3)))


def test_stored_images_are_larger(part: Part) -> None:
    images = DecodedImages(part, input_spec(20, 20), oversample=1.5)
    assert images.shape == (30, 30, 3)
    np.testing.assert_array_equal(
        images.pixels(np.array([1]))[0], read_image(part.open(1), (30, 30))
    )


@pytest.fixture
def damaged(tmp_path: Path) -> Part:
    part = load_collection(write_tree(tmp_path, {"cat": 5, "dog": 5})).everything
    for name in ("cat/4.png", "dog/0.png"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    return part


def test_a_damaged_image_stops_by_name(damaged: Part) -> None:
    images = DecodedImages(damaged, input_spec())
    assert images.pixels(np.array([0, 1])).shape == (2, 8, 8, 3)
    message = r"The image cat/4\.png cannot be read: .* Replace it by a readable copy, or leave"
    with pytest.raises(DataError, match=message):
        images.pixels(np.array([3, 4]))
    dataset = tf.data.Dataset.range(10).batch(2).map(images.read)
    with pytest.raises(DataError, match=message + r".*=skip\.$"), data_errors():
        list(dataset)
    gone = load_collection(damaged.store.root).everything
    (damaged.store.root / "cat" / "0.png").unlink()
    with pytest.raises(DataError, match=r"cat/0\.png cannot be read: .*No such file"):
        DecodedImages(gone, input_spec()).pixels(np.array([0]))


def test_data_errors_lets_others_pass() -> None:
    with pytest.raises(ZeroDivisionError), data_errors():
        1 / 0  # noqa: B018
    with pytest.raises(tf.errors.InvalidArgumentError), data_errors():
        tf.debugging.assert_equal(1, 2)
    with data_errors():
        pass


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_a_damaged_image_is_skipped_for_another_of_its_class(
    cache: str, damaged: Part, caplog: pytest.LogCaptureFixture
) -> None:
    images = DecodedImages(damaged, input_spec(), cache=cache, on_unreadable="skip")
    for _ in range(2):
        pixels = images.pixels(np.arange(10))
        np.testing.assert_array_equal(pixels[4], pixels[0])  # The row of cats begins again.
        np.testing.assert_array_equal(pixels[5], pixels[6])
    assert sorted(record.getMessage() for record in caplog.records) == [
        f"The image {name} cannot be read: another of its class is taken instead."
        for name in ("cat/4.png", "dog/0.png")
    ]
    for number in range(5):
        (damaged.store.root / "cat" / f"{number}.png").write_bytes(b"nothing")
    images = DecodedImages(damaged, input_spec(), cache=cache, on_unreadable="skip")
    with pytest.raises(DataError, match=r"cat/2\.png cannot be read, nor can any other"):
        images.pixels(np.array([2]))


def test_wrong_settings_exception_raised(part: Part) -> None:
    with pytest.raises(ConfigError, match=r"`cache` must be one of auto, memory, .* it is 'ram'"):
        DecodedImages(part, input_spec(), cache="ram")
    with pytest.raises(ConfigError, match="`cache_dir` must name a folder for cache=disk"):
        DecodedImages(part, input_spec(), cache="disk")
    with pytest.raises(ConfigError, match=r"`cache` is memory, but 13 .* need 3632158\.\d+ GiB"):
        DecodedImages(part, input_spec(10_000_000, 10_000_000), cache="memory")
    with pytest.raises(ModelError, match="--input-range"):
        DecodedImages(part, input_spec(value_range=None))
