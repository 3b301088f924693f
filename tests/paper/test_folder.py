"""The source `folder` on real images; `tests/data` proves how folders are listed and split."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stn_tf.data import read_image
from stn_tf.errors import DataError
from stn_tf.paper import Examples, Source, load_source


@pytest.fixture(scope="module")
def digits() -> Examples:
    return load_source("digits").train


@pytest.fixture
def image_dir(tmp_path: Path, digits: Examples) -> Path:
    """Ten files each of real ones, twos and threes, at 28 x 28."""
    for label, name in ((1, "one"), (2, "two"), (3, "zwölf")):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index, image in enumerate(digits.images[digits.labels == label][:10]):
            Image.fromarray(image[..., 0]).save(tmp_path / "images" / name / f"{index}.png")
    return tmp_path / "images"


def content(source: Source) -> dict[str, set[tuple[bytes, int]]]:
    return {
        name: {
            (image.tobytes(), int(label))
            for image, label in zip(
                getattr(source, name).images, getattr(source, name).labels, strict=True
            )
        }
        for name in ("train", "validation", "test")
    }


def test_folder_is_split_by_names(image_dir: Path, digits: Examples) -> None:
    source = load_source("folder", image_dir)
    assert source.classes == ("one", "two", "zwölf")
    assert [len(p) for p in (source.train, source.validation, source.test)] == [21, 3, 6]
    parts = content(source)
    expected = {
        (image.tobytes(), label - 1)
        for label in (1, 2, 3)
        for image in digits.images[digits.labels == label][:10]
    }
    assert parts["train"] | parts["validation"] | parts["test"] == expected
    assert content(load_source("folder", image_dir)) == parts
    # Of each class the first hashes are for the test, the next for validation, wherever it runs.
    for label, name in enumerate(source.classes):
        files = sorted(
            image_dir.glob(f"{name}/*.png"),
            key=lambda path: hashlib.sha256(f"{path.parent.name}/{path.name}".encode()).digest(),
        )
        images = [(read_image(path, channels=1).tobytes(), label) for path in files]
        assert set(images[:2]) <= parts["test"]
        assert set(images[2:3]) <= parts["validation"]


def test_folder_with_parts(image_dir: Path) -> None:
    for name in ("one", "two", "zwölf"):
        for number in range(10):
            part = image_dir / ("test" if number < 2 else "train") / name
            part.mkdir(parents=True, exist_ok=True)
            (image_dir / name / f"{number}.png").rename(part / f"{number}.png")
        (image_dir / name).rmdir()
    source = load_source("folder", image_dir)
    assert [len(p) for p in (source.train, source.validation, source.test)] == [21, 3, 6]
    files = [*(image_dir / "test").rglob("*.png")]
    in_test = {read_image(path, channels=1).tobytes() for path in files}
    assert {image for image, _ in content(source)["test"]} == in_test
    assert "Set aside of each class to train on: 10 % to choose by" in source.notes[-1]


def test_images_without_a_header_are_left_out_by_name(image_dir: Path) -> None:
    (image_dir / "two" / "4.png").write_bytes(b"no image")
    source = load_source("folder", image_dir)
    assert sum(map(len, (source.train, source.validation, source.test))) == 29
    (note,) = [note for note in source.notes if note.startswith("Left out")]
    assert note.startswith("Left out 1 images that cannot be read: two/4.png (")


def test_image_that_is_cut_off_exception_raised(image_dir: Path) -> None:
    path = image_dir / "two" / "4.jpg"
    Image.open(path.with_suffix(".png")).save(path)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(DataError, match=r"The image two/4\.jpg cannot be read: .* or remove it\."):
        load_source("folder", image_dir)


def test_images_of_several_sizes_are_letterboxed(image_dir: Path) -> None:
    Image.new("RGB", (40, 20), (255, 0, 0)).save(image_dir / "two" / "4.png")
    with pytest.raises(DataError, match=r"must be given, .* differ in size: from 20x40 to 28x28"):
        load_source("folder", image_dir)
    source = load_source("folder", image_dir, image_size=(28, 28))
    parts = (source.train, source.validation, source.test)
    images = np.concatenate([part.images for part in parts])
    assert images.shape == (30, 28, 28, 3)  # Colour, because one of them is.
    (red,) = [image for image in images if image[14, 14, 0] > image[14, 14, 1] == 0]
    np.testing.assert_array_equal(red[:7], 0)
    np.testing.assert_array_equal(red[7:21], np.broadcast_to([255, 0, 0], (14, 28, 3)))
    np.testing.assert_array_equal(red[21:], 0)


def test_folder_of_birds(cub_dir: Path) -> None:
    source = load_source("folder", cub_dir / "images", image_size=(48, 64))
    assert len(source.classes) == 10
    assert sum(map(len, (source.train, source.validation, source.test))) == 543
    assert source.train.images.shape[1:] == (48, 64, 3)
    grey = load_source("folder", cub_dir / "images", image_size=(48, 64), channels=1)
    weights = np.array([0.299, 0.587, 0.114])  # Rec. 601 luma.
    difference = np.abs(grey.test.images[..., 0] - source.test.images @ weights)
    # Fitting clips to 0..255, here one channel and there three.
    assert np.quantile(difference, 0.999) < 1.5


def test_folder_too_large_for_memory(image_dir: Path) -> None:
    with pytest.raises(DataError, match=r"`image_size` is 60000x60000: .* need 100\.6 GiB"):
        load_source("folder", image_dir, image_size=(60_000, 60_000))
