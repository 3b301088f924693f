"""Every image once, as a server sees it."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from stn_tf.data import (
    DecodedImages,
    Part,
    data_errors,
    evaluation_images,
    load_collection,
    read_for,
)
from stn_tf.errors import DataError
from tests.data.trees import input_spec, write_tree


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Part:
    root = write_tree(tmp_path_factory.mktemp("images"), {"cat": 4, "dog": 5})
    deep = np.arange(12 * 16, dtype=np.uint16).reshape(12, 16) * 300
    Image.fromarray(deep).save(root / "dog" / "deep.png")
    return load_collection(root).everything


SPECS = [
    input_spec(8, 10),
    input_spec(8, 8, 1, dtype="uint8", value_range=(0.0, 255.0)),
    input_spec(8, 10, shape=(None, 3, 8, 10), layout="NCHW", mean=(0.4, 0.5, 0.6), std=(0.2,)),
    input_spec(8, 8, dtype="bfloat16", resize="center_crop", crop_pct=0.8, color_space="bgr"),
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("kept", [False, True])
def test_images_are_what_serving_sees(spec, kept: bool, part: Part) -> None:
    decoded = DecodedImages(part, spec) if kept else None
    dataset = evaluation_images(part, spec, 3, 4, decoded)
    expected = np.stack([read_for(part.open(index), spec)[0] for index in range(len(part))])
    for _ in range(2):
        images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
        assert [len(batch) for batch in images] == [4, 4, 2]
        assert images[0].dtype == expected.dtype
        np.testing.assert_array_equal(np.concatenate(images), expected)
        np.testing.assert_array_equal(np.concatenate(labels), np.eye(3, dtype="f4")[part.labels])


def test_shapes_are_static(part: Part) -> None:
    images, labels = evaluation_images(part, input_spec(8, 10), 3, 4).element_spec
    assert images.shape.as_list() == [None, 8, 10, 3]
    assert labels.shape.as_list() == [None, 3]
    assert labels.dtype == tf.float32
    assert evaluation_images(part, input_spec(8, 10), 3, 4).cardinality() == 3


def test_the_birds_as_a_server_sees_them(cub_dir: Path) -> None:
    test = load_collection(cub_dir).test
    few = Part(test.store.take(np.arange(0, 243, 40)), test.labels[::40])
    spec = input_spec(64, 64, resize="center_crop", crop_pct=0.875)
    ((images, labels),) = evaluation_images(few, spec, 10, 100, DecodedImages(few, spec))
    for index, image in enumerate(images.numpy()):
        np.testing.assert_array_equal(image, read_for(few.open(index), spec)[0])
    np.testing.assert_array_equal(np.argmax(labels, axis=-1), few.labels)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("on_unreadable", ["stop", "skip"])
def test_a_damaged_image_is_named(kept: bool, on_unreadable: str, tmp_path: Path) -> None:
    damaged = load_collection(write_tree(tmp_path, {"cat": 3, "dog": 3})).everything
    (tmp_path / "dog" / "1.png").write_bytes(b"nothing")
    # What a result is made of is never another image instead.
    decoded = DecodedImages(damaged, input_spec(), on_unreadable=on_unreadable) if kept else None
    dataset = evaluation_images(damaged, input_spec(), 2, 4, decoded)
    with pytest.raises(DataError, match=r"The image dog/1\.png cannot be read"), data_errors():
        list(dataset)


def test_wrong_arguments_exception_raised(part: Part) -> None:
    empty = Part(part.store.take(np.arange(0)), part.labels[:0])
    with pytest.raises(ValueError, match="`part` must not be empty"):
        evaluation_images(empty, input_spec(), 2, 4)
    with pytest.raises(ValueError, match="`batch_size` must be at least 1, but it is 0"):
        evaluation_images(part, input_spec(), 2, 0)
    with pytest.raises(ValueError, match="`spec` must be of a fixed height and width"):
        evaluation_images(part, input_spec(shape=(None, None, 8, 3)), 2, 4)
    with pytest.raises(ValueError, match="`decoded` must be of `part` and `spec`"):
        evaluation_images(part, input_spec(), 2, 4, DecodedImages(part, input_spec(9)))
