"""Which image is in which part: kept with a run, so that it goes on and is measured with the same.

A CSV file, gzipped where it is named `.gz`: name, part, and the class by number and by name.
"""

import csv
import dataclasses
import gzip
import io
import os
from pathlib import Path

import numpy as np

from stn_tf.data.collection import Collection, check_classes
from stn_tf.data.listing import Listing, left_out, listed
from stn_tf.data.split import PARTS
from stn_tf.errors import DataError

_HEADER = ["name", "part", "label", "class"]


def write_split(collection: Collection, path: Path | str) -> None:
    """Writes which image is in which part, beside the file and then renamed to it.

    Raises:
        DataError: If the name of an image is no text.
        OSError: If it cannot be written.
    """
    path = Path(path)
    content = _text(collection.listing).encode()
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_split(collection: Collection, path: Path | str) -> Collection:
    """Returns the images of a split that was written, in its order, with its parts and classes.

    Args:
        collection: What is there now. Images that are not in the split are left out, with a note.
        path: What `write_split` wrote.

    Raises:
        DataError: If images are no longer there or of another class, there are other classes, or
            the file is no split.
    """
    listing, root, path = collection.listing, collection.root, Path(path)
    names, parts, labels, classes = _parsed(path)
    places = {name: index for index, name in enumerate(listing.store.names)}
    if missing := [name for name in names if name not in places]:
        raise DataError(
            f"{len(missing):,} images of the run are not in {root}, or cannot be read: "
            f"{listed(missing)}. Put them back, or start a new run."
        )
    order = np.array([places[name] for name in names], np.int64)
    moved = [
        f"{name} (was {classes[label]}, is {listing.classes[listing.labels[index]]})"
        for name, label, index in zip(names, labels, order, strict=True)
        if classes[label] != listing.classes[listing.labels[index]]
    ]
    if moved:
        raise DataError(
            f"{len(moved):,} images of the run are of another class in {root} now: "
            f"{listed(moved)}. Put them back, or start a new run."
        )
    if set(listing.classes) != set(classes.values()):
        check_classes(collection, [classes[label] for label in range(len(classes))])
    new = sorted(places.keys() - set(names))
    chosen = dataclasses.replace(
        listing.take(order),
        parts=np.array(parts, np.int8),
        labels=np.array(labels, np.int32),
        classes=tuple(classes[label] for label in range(len(classes))),
        notes=(
            f"The split is that of {path}.",
            *left_out(new, "images that are new since then"),
        ),
    )
    return Collection(root, chosen)


def _text(listing: Listing) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_HEADER)
    for name, part, label in zip(listing.store.names, listing.parts, listing.labels, strict=True):
        if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataError(
                f"The name of the image {name!r} must be UTF-8, but it is not. Rename it."
            )
        writer.writerow((name, PARTS[part], label, listing.classes[label]))
    return file.getvalue()


def _parsed(path: Path) -> tuple[list[str], list[int], list[int], dict[int, str]]:
    """Returns names, parts and labels, and the classes of the labels."""
    names: list[str] = []
    parts: list[int] = []
    labels: list[int] = []
    classes: dict[int, str] = {}
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
        rows = csv.reader(io.StringIO(text, newline=""))
        if next(rows) != _HEADER:
            raise ValueError("its first line is another")
        for name, part, label, class_name in rows:
            names.append(name)
            parts.append(PARTS.index(part))
            labels.append(int(label))
            classes[int(label)] = class_name
        if sorted(classes) != list(range(len(classes))):
            raise ValueError("classes are missing")
    except (OSError, EOFError, StopIteration, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error) or "it is empty"
        raise DataError(
            f"The split {path} cannot be read: {reason}. Restore it, or start a new run."
        ) from None
    return names, parts, labels, classes
