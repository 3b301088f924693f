"""Caltech-UCSD Birds 200-2011 (CUB), in the layout in which it is published.

Source: Wah et al. 2011, https://www.vision.caltech.edu/datasets/cub_200_2011/.
"""

from pathlib import Path

import numpy as np

from stn_tf.data.listing import Files, Listing, without_missing
from stn_tf.data.names import Names
from stn_tf.data.split import TEST, TRAIN
from stn_tf.errors import DataError

_IMAGES, _LABELS, _SPLIT = "images.txt", "image_class_labels.txt", "train_test_split.txt"
_CLASSES = "classes.txt"
FILES = (_IMAGES, _LABELS, _SPLIT, _CLASSES)


def root_of(folder: Path) -> Path | None:
    """Returns where the files are: in the folder, or in one of the archive's name within it."""
    places = (folder, folder / "CUB_200_2011")
    return next((p for p in places if (p / _IMAGES).is_file() and (p / _LABELS).is_file()), None)


def find(folder: Path) -> Listing:
    """Lists the images with the official split; classes are in the order of their numbers.

    Raises:
        DataError: If a file is missing or damaged, or names what another does not.
    """
    root = root_of(folder)
    if root is None:
        raise DataError(f"{folder} is no CUB: it must hold {', '.join(FILES)} and images/.")
    images, classes = _read(root / _IMAGES), _read(root / _CLASSES)
    labels, training = _read(root / _LABELS), _read(root / _SPLIT)
    for name, table in ((_LABELS, labels), (_SPLIT, training)):
        if missing := sorted(images.keys() ^ table.keys()):
            raise DataError(
                f"{_IMAGES} and {name} in {root} must be of the same images, but number "
                f"{missing[0]} is in one of them alone ({len(missing):,} in all)."
            )
    order = sorted(classes)
    index = {number: position for position, number in enumerate(order)}
    for number, text in labels.items():
        if not text.isdigit() or int(text) not in index:
            raise DataError(
                f"Image {number} in {root / _LABELS} must be of a class in {_CLASSES}, but is of "
                f"{text!r}."
            )
    for number, text in training.items():
        if text not in ("0", "1"):
            raise DataError(
                f"Image {number} in {root / _SPLIT} must be 1 (train) or 0 (test), but is {text!r}."
            )
    listing = Listing(
        Files(root / "images", Names(images.values())),
        np.array([index[int(labels[number])] for number in images], np.int32),
        np.array([TRAIN if training[n] == "1" else TEST for n in images], np.int8),
        tuple(classes[number] for number in order),
        ("Read as CUB-200-2011, with its own split into train and test (data=cub).",),
    )
    return without_missing(listing, root / "images", str(root / _IMAGES))


def _read(path: Path) -> dict[int, str]:
    """Returns the lines `number text` of a file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise DataError(f"{path} cannot be read: {reason}.") from None
    table: dict[int, str] = {}
    for row, line in enumerate(lines, 1):
        number, _, text = line.strip().partition(" ")
        if not line.strip():
            continue
        if not number.isdigit() or not text or int(number) in table:
            raise DataError(
                f"Line {row} of {path} must be a new number and a text, but it is {line!r}."
            )
        table[int(number)] = text
    return table
