"""The source `mnist`: 70,000 handwritten digits, from the four original idx files.

Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits. Any other set in these
four files with at most ten classes (Fashion-MNIST) is read as well.
"""

import contextlib
import gzip
import sys
import zlib
from pathlib import Path

import numpy as np

from stn_tf.errors import DataError
from stn_tf.paper.source import Examples, Source

_CLASSES = tuple("0123456789")
# The last 5,000 of the 60,000 training images.
_VALIDATION_SHARE = 1 / 12


def load(data_dir: Path | None) -> Source:
    """Returns the idx files of `data_dir`, or Keras's download; test is the set's own."""
    train, test = _download() if data_dir is None else _read_folder(data_dir)
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"The training images of {data_dir} are {_by(train.images.shape[1:3])} pixels, but its "
            f"test images are {_by(test.images.shape[1:3])}. Put back the four files of one set."
        )
    count = round(len(train) * _VALIDATION_SHARE)
    if not count or not len(test):
        raise DataError(
            f"{data_dir} holds {len(train)} training and {len(test)} test images, which is too few "
            "to train, validate and test on. Put back the full files."
        )
    return Source(train[:-count], train[-count:], test, _CLASSES)


def read_idx(path: Path) -> np.ndarray:
    """Reads an idx file of bytes, gzipped or not.

    Format: two zero bytes, the type (8: unsigned byte), the rank, one big-endian int32 for each
    dimension, the values.

    Raises:
        DataError: If the file is not such a file, or shorter or longer than it says.
    """
    cure = "Download it again."
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}). {cure}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    if len(content) < 4 or content[:3] != b"\0\0\x08" or content[3] == 0:
        raise DataError(
            f"{path} is not an idx file of bytes: it must begin with 00 00 08 and the rank, but "
            f"begins with {content[:4].hex(' ') or 'nothing'}. {cure}"
        )
    rank = content[3]
    header = 4 + 4 * rank
    if len(content) < header:
        raise DataError(f"{path} ends within its header, after {len(content)} bytes. {cure}")
    shape = [int(size) for size in np.frombuffer(content, ">u4", rank, 4)]
    expected = header + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise DataError(
            f"{path} must have {expected:,} bytes for its {_by(shape)} values, but has "
            f"{len(content):,}. {cure}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _read_folder(folder: Path) -> tuple[Examples, Examples]:
    if not folder.is_dir():
        raise DataError(f"`data_dir` must be a folder with four idx files, but {folder} is not.")
    return _read_part(folder, "train"), _read_part(folder, "t10k")


def _read_part(folder: Path, part: str) -> Examples:
    images_path = _find(folder, f"{part}-images-idx3-ubyte")
    labels_path = _find(folder, f"{part}-labels-idx1-ubyte")
    images, labels = read_idx(images_path), read_idx(labels_path)
    for path, array, rank in ((images_path, images, 3), (labels_path, labels, 1)):
        if array.ndim != rank:
            raise DataError(
                f"{path} must have rank {rank} (magic number {2048 + rank}), but has "
                f"{array.ndim} (magic number {2048 + array.ndim}). Are its files swapped?"
            )
    if len(images) != len(labels):
        raise DataError(
            f"{images_path} holds {len(images)} images, but {labels_path} holds {len(labels)} "
            "labels. Put back two files of one set."
        )
    if labels.max(initial=0) >= len(_CLASSES):
        raise DataError(
            f"{labels_path} must hold labels from 0 to {len(_CLASSES) - 1}, but holds "
            f"{labels.max()}. Use the source folder for sets with other classes."
        )
    return Examples(images[..., np.newaxis], labels.astype(np.int32))


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(
        f"{folder} must hold {name} or {name}.gz, but has neither. Put the four idx files of "
        "MNIST there, or leave `data_dir` out to download them."
    )


def _download() -> tuple[Examples, Examples]:
    import keras

    try:
        # Keras shows its progress on stdout, which is for results.
        with contextlib.redirect_stdout(sys.stderr):
            parts = keras.datasets.mnist.load_data()
    # Keras raises a bare Exception for a failed download.
    except Exception as error:
        raise DataError(
            f"MNIST cannot be downloaded ({error}). Add `--data-dir DIR` with the four idx files."
        ) from error
    train, test = (
        Examples(images[..., np.newaxis], labels.astype(np.int32)) for images, labels in parts
    )
    return train, test


def _by(shape: tuple[int, ...] | list[int]) -> str:
    return "x".join(str(size) for size in shape)
