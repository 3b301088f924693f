"""The source folder on real images, and every way in which a folder can be wrong."""

import hashlib
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stn_tf.data import read_image
from stn_tf.paper import Examples, Source, load_source
from stn_tf.errors import DataError


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


def test_folder_with_parts(
    image_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for part in ("train", "test"):
        (tmp_path / "parts" / part).mkdir(parents=True)
    for folder in list(image_dir.iterdir()):
        (tmp_path / "parts" / "test" / folder.name).mkdir()
        for index in (0, 1):
            name = f"{index}.png"
            (folder / name).rename(tmp_path / "parts" / "test" / folder.name / name)
        folder.rename(tmp_path / "parts" / "train" / folder.name)
    source = load_source("folder", tmp_path / "parts")
    assert [len(p) for p in (source.train, source.validation, source.test)] == [21, 3, 6]
    in_test = {
        read_image(path, channels=1).tobytes()
        for path in (tmp_path / "parts" / "test").rglob("*.png")
    }
    assert {image for image, _ in content(source)["test"]} == in_test

    # A validation folder is taken as it is; a folder that is no part is left out and named.
    validation = tmp_path / "parts" / "val" / "one"
    validation.mkdir(parents=True)
    (tmp_path / "parts" / "train" / "one" / "2.png").rename(validation / "2.png")
    (tmp_path / "parts" / "__MACOSX").mkdir()
    source = load_source("folder", tmp_path / "parts")
    assert source.classes == ("one", "two", "zwölf")
    assert [len(p) for p in (source.train, source.validation, source.test)] == [23, 1, 6]
    assert list(source.validation.labels) == [0]
    (record,) = caplog.records
    assert record.getMessage().endswith("that are no part: __MACOSX")


def test_folder_leaves_out_damaged_images(
    image_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = image_dir / "two" / "4.png"
    path.write_bytes(path.read_bytes()[:60])
    (image_dir / "one" / "notes.txt").write_text("no image")
    with caplog.at_level(logging.WARNING):
        source = load_source("folder", image_dir)
    assert sum(map(len, (source.train, source.validation, source.test))) == 29
    (record,) = caplog.records
    assert "Left out images that cannot be read: two/4.png (" in record.getMessage()


def test_folder_turns_images_as_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise by a quarter.
    picture = np.zeros((10, 14), np.uint8)
    picture[:5, :7] = 200  # Top-left, and top-right once turned.
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(3):
            Image.fromarray(picture).save(tmp_path / name / f"{index}.JPG", exif=exif, quality=95)
    source = load_source("folder", tmp_path)
    assert source.train.images.shape == (2, 14, 10, 1)
    for part in (source.train, source.validation, source.test):
        for image in part.images:
            np.testing.assert_allclose(image[..., 0], np.rot90(picture, -1), atol=12)


def test_a_long_list_of_damaged_images_is_cut(
    image_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in image_dir.iterdir():
        for index in range(4):
            (folder / f"{index}.png").write_bytes(b"no image")
    with caplog.at_level(logging.WARNING):
        load_source("folder", image_dir)
    (record,) = caplog.records
    assert record.getMessage().count(".png (") == 10
    assert record.getMessage().endswith("; and 2 more")


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


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "`data_dir` must be a folder with one sub-folder for each class"),
        ("empty", "must hold at least two classes .* but has no sub-folder with images"),
        ("one class", "must hold at least two classes .* but has only one, one"),
        ("few", "The class two must have at least 3 readable images to train with, but has 2"),
        ("all damaged", "None of the 30 images in .* can be read"),
        ("sizes", "`image_size` must be given, because the images differ in size"),
        ("no test", r"has a folder train, but no folder test\. Add it\.$"),
        ("no train", r"has a folder test, but no folder train\. Add it\.$"),
        ("stranger", r"four/0\.png is of the class four, of which .*train has no image"),
        ("no validation", "The folder validation in .* holds no readable image"),
    ],
)
def test_wrong_folder_exception_raised(image_dir: Path, how: str, message: str) -> None:
    folder = image_dir
    match how:
        case "missing":
            folder = image_dir / "nothing"
        case "empty":
            folder = image_dir / "one"
        case "one class":
            for name in ("two", "zwölf"):
                (image_dir / name).rename(image_dir.parent / name)
        case "few":
            for index in range(8):
                (image_dir / "two" / f"{index}.png").unlink()
        case "all damaged":
            for path in image_dir.rglob("*.png"):
                path.write_bytes(b"no image")
        case "sizes":
            Image.new("L", (20, 30)).save(image_dir / "two" / "0.png")
        case "no test":
            folder = image_dir.parent / "outer"
            folder.mkdir()
            image_dir.rename(folder / "train")
        case "no train":
            folder = image_dir.parent / "outer"
            (folder / "val").mkdir(parents=True)
            image_dir.rename(folder / "test")
        case "stranger" | "no validation":
            folder = image_dir.parent / "outer"
            shutil.copytree(image_dir, folder / "train")
            shutil.copytree(image_dir, folder / "test")
            if how == "stranger":
                (folder / "test" / "one").rename(folder / "test" / "four")
            else:
                (folder / "validation").mkdir()
    with pytest.raises(DataError, match=message):
        load_source("folder", folder)


def test_folder_too_large_for_memory(image_dir: Path) -> None:
    with pytest.raises(DataError, match=r"`image_size` is 60000x60000: .* need 100\.6 GiB"):
        load_source("folder", image_dir, image_size=(60_000, 60_000))
