"""The source mnist on real and small idx files, and every way in which these can be wrong."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from stn_tf.errors import DataError
from stn_tf.paper import load_source

FILES = [
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
]  # fmt: skip


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
