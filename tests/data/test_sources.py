"""The sources on their real formats, and every way in which these can be wrong."""

import gzip
import hashlib
import logging
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.spatial
from PIL import Image
from sklearn.datasets import load_digits

from stn_tf.data import Examples, Source, load_source, read_image
from stn_tf.data.image_file import letterbox
from stn_tf.errors import ConfigError, DataError

FILES = [
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
]  # fmt: skip


def test_digits_are_split_once_and_for_all() -> None:
    source = load_source("digits")
    parts = (source.train, source.validation, source.test)
    assert sum(map(len, parts)) == 1797
    for part, share in zip(parts, (0.7, 0.1, 0.2), strict=True):
        counts = np.bincount(part.labels)
        np.testing.assert_allclose(counts / np.bincount(load_digits().target), share, atol=0.01)
    images = [{image.tobytes() for image in part.images} for part in parts]
    assert not images[0] & images[1]
    assert not images[0] & images[2]
    assert not images[1] & images[2]


def test_digits_keep_their_cells_and_labels() -> None:
    """Averaging 2.5 x 2.5 of the pixels gives back the cells of a digit with the same label."""
    average = np.zeros((8, 28))
    for cell in range(8):
        for pixel in range(28):
            low, high = 4 + 2.5 * cell, 4 + 2.5 * (cell + 1)
            average[cell, pixel] = max(0.0, min(high, pixel + 1) - max(low, pixel)) / 2.5
    original = load_digits()
    cells = original.images.reshape(-1, 64) / 16
    source, found = load_source("digits"), []
    for part in (source.train, source.validation, source.test):
        shown = (average @ (part.images[..., 0] / 255.0) @ average.T).reshape(-1, 64)
        distances = scipy.spatial.distance.cdist(shown, cells) / 8
        nearest = distances.argmin(axis=1)
        assert distances.min(axis=1).max() < 0.1
        np.testing.assert_array_equal(part.labels, original.target[nearest])
        found.append(nearest)
    # Two digits of one writer can be nearer to each other than the filter is exact.
    assert len(np.unique(np.concatenate(found))) >= 1795


def test_mnist_is_the_original(mnist_dir: Path) -> None:
    source = load_source("mnist", mnist_dir)
    assert [len(part) for part in (source.train, source.validation, source.test)] == [
        55_000, 5_000, 10_000,
    ]  # fmt: skip
    # Counts of the test set's digits, as published.
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    np.testing.assert_array_equal(np.bincount(source.test.labels), counts)
    assert list(source.train.labels[:5]) == [5, 0, 4, 1, 9]
    assert source.test.images.mean() == pytest.approx(0.1325 * 255, rel=0.01)


def write_idx(path: Path, array: np.ndarray, zipped: bool = False) -> None:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if zipped else content)


@pytest.fixture
def idx_dir(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index, (name, count) in enumerate(zip(FILES, (24, 24, 6, 6), strict=True)):
        images = "images" in name
        shape = (count, 5, 4) if images else (count,)
        array = rng.integers(0, 256 if images else 10, shape)
        zipped = index % 2 == 0
        write_idx(tmp_path / (name + ".gz" * zipped), array, zipped)
    return tmp_path


def test_idx_files_zipped_and_plain(idx_dir: Path) -> None:
    source = load_source("mnist", idx_dir)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (24, 5, 4)), rng.integers(0, 10, 24)
    np.testing.assert_array_equal(source.train.images[..., 0], images[:22])
    np.testing.assert_array_equal(source.validation.labels, labels[22:])
    assert source.test.images.shape == (6, 5, 4, 1)


def break_idx(folder: Path, how: str) -> None:
    images, labels = folder / f"{FILES[0]}.gz", folder / FILES[1]
    match how:
        case "missing":
            labels.unlink()
        case "cut gzip":
            images.write_bytes(images.read_bytes()[:-20])
        case "cut":
            labels.write_bytes(labels.read_bytes()[:-1])
        case "header":
            labels.write_bytes(labels.read_bytes()[:6])
        case "long":
            labels.write_bytes(labels.read_bytes() + b"\0")
        case "magic":
            labels.write_bytes(b"PNG!" + labels.read_bytes()[4:])
        case "empty":
            labels.write_bytes(b"")
        case "swapped":
            write_idx(labels, np.zeros((24, 5, 4)))
        case "counts":
            write_idx(labels, np.zeros(23))
        case "labels":
            write_idx(labels, np.full(24, 10))
        case "sizes":
            write_idx(images, np.zeros((24, 4, 5)), zipped=True)
        case "few":
            write_idx(images, np.zeros((3, 5, 4)), zipped=True)
            write_idx(labels, np.zeros(3))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            "missing",
            "DIR must hold train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz, but has "
            "neither. Put the four idx files of MNIST there, or leave `data_dir` out to download "
            "them.",
        ),
        (
            "cut gzip",
            "IMAGES is a damaged gzip file (Compressed file ended before the end-of-stream marker "
            "was reached). Download it again.",
        ),
        (
            "cut",
            "LABELS must have 32 bytes for its 24 values, but has 31. Download it again.",
        ),
        ("header", "LABELS ends within its header, after 6 bytes. Download it again."),
        (
            "long",
            "LABELS must have 32 bytes for its 24 values, but has 33. Download it again.",
        ),
        (
            "magic",
            "LABELS is not an idx file of bytes: it must begin with 00 00 08 and the rank, but "
            "begins with 50 4e 47 21. Download it again.",
        ),
        (
            "empty",
            "LABELS is not an idx file of bytes: it must begin with 00 00 08 and the rank, but "
            "begins with nothing. Download it again.",
        ),
        (
            "swapped",
            "LABELS must have rank 1 (magic number 2049), but has 3 (magic number 2051). "
            "Are its files swapped?",
        ),
        (
            "counts",
            "IMAGES holds 24 images, but LABELS holds 23 labels. Put back two files of one set.",
        ),
        (
            "labels",
            "LABELS must hold labels from 0 to 9, but holds 10. Use the source folder for sets "
            "with other classes.",
        ),
        (
            "sizes",
            "The training images of DIR are 4x5 pixels, but its test images are 5x4. Put back the "
            "four files of one set.",
        ),
        (
            "few",
            "DIR holds 3 training and 6 test images, which is too few to train, validate and test "
            "on. Put back the full files.",
        ),
    ],
)
def test_damaged_idx_exception_raised(idx_dir: Path, how: str, message: str) -> None:
    break_idx(idx_dir, how)
    with pytest.raises(DataError) as raised:
        load_source("mnist", idx_dir)
    for name, path in (("IMAGES", f"{FILES[0]}.gz"), ("LABELS", FILES[1]), ("DIR", "")):
        message = message.replace(name, str(idx_dir / path))
    assert str(raised.value) == message


def test_mnist_without_a_folder_exception_raised(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        load_source("mnist", tmp_path / "nothing")
    assert str(raised.value) == (
        f"`data_dir` must be a folder with four idx files, but {tmp_path / 'nothing'} is not."
    )


def test_truncated_mnist_exception_raised(mnist_dir: Path, tmp_path: Path) -> None:
    """Cut short at half: zipped, and after it was unzipped."""
    zipped = (mnist_dir / f"{FILES[2]}.gz").read_bytes()
    for name in FILES[:2] + FILES[3:]:
        (tmp_path / f"{name}.gz").symlink_to(mnist_dir / f"{name}.gz")
    path = tmp_path / f"{FILES[2]}.gz"
    path.write_bytes(zipped[: len(zipped) // 2])
    with pytest.raises(DataError, match=rf"^{path} is a damaged gzip file"):
        load_source("mnist", tmp_path)
    (tmp_path / FILES[2]).write_bytes(gzip.decompress(zipped)[:4_000_000])
    with pytest.raises(DataError, match=r"7,840,016 bytes for .*10000x28x28 .* has 4,000,000\."):
        load_source("mnist", tmp_path)


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


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["imagenet"], {}, "`source` must be one of digits, mnist, folder, but it is 'imagenet'"),
        (["folder"], {}, "`data_dir` must name the folder"),
        (["digits", Path("x")], {}, "the source digits is embedded and reads no folder"),
        (["digits"], {"image_size": (32, 32)}, "`image_size` is .* Leave it out"),
        (["digits"], {"channels": 3}, "the images of digits are grey"),
        (["digits"], {"channels": 2}, "`channels` must be 1"),
    ],
)
def test_wrong_setting_exception_raised(arguments: list, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_source(*arguments, **options)


def test_read_image_turns_fits_and_flattens(tmp_path: Path) -> None:
    values = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4) * 10
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned clockwise by a quarter.
    Image.fromarray(values).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(
        read_image(tmp_path / "turned.png", channels=1)[..., 0], np.rot90(values, -1)
    )
    # 6 x 4 in 6 x 10: as it is, with three black columns on each side.
    Image.fromarray(values).save(tmp_path / "tall.png")
    fitted = read_image(tmp_path / "tall.png", (6, 10), channels=1)[..., 0]
    np.testing.assert_array_equal(fitted, np.pad(values, ((0, 0), (3, 3))))
    assert letterbox((6, 4), (6, 10)) == (3, 0, 4, 6)
    transparent = np.full((2, 2, 4), 200, np.uint8)
    transparent[..., 3] = 0
    Image.fromarray(transparent).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(read_image(tmp_path / "clear.png"), np.zeros((2, 2, 3)))
    deep = np.array([[0, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png", channels=1)[..., 0], [[0, 255]])
