"""Which image is in which part: kept with a run, so that it goes on and is measured with the same.

A CSV file, gzipped where it is named `.gz`: name, part, and the class by number and by name.
"""

import csv
import dataclasses
import gzip
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stn_tf.data.listing import Listing, left_out, listed
from stn_tf.data.split import PARTS
from stn_tf.errors import DataError

if TYPE_CHECKING:
    from stn_tf.data.collection import Collection

_HEADER = ["name", "part", "label", "class"]


def split_text(collection: "Collection") -> str:
    """Returns which image is in which part, as text.

    Raises:
        DataError: If the name of an image is no text.
    """
    listing = collection.listing
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_HEADER)
    for name, part, label in zip(listing.store.names, listing.parts, listing.labels, strict=True):
        if not name.isascii() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise DataError(f"The image {name!r} must have a name in UTF-8. Rename it.")
        writer.writerow((name, PARTS[part], label, listing.classes[label]))
    return file.getvalue()


def write_split(collection: "Collection", path: Path | str) -> None:
    """Writes which image is in which part, beside the file and then renamed to it."""
    path = Path(path)
    content = split_text(collection).encode()
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_split(path: Path | str) -> str:
    """Returns the text that `write_split` wrote.

    Raises:
        DataError: If it cannot be read.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {reason}.") from None


def with_split(listing: Listing, text: str, root: Path) -> Listing:
    """Returns the images of a split, in its order, with its parts and classes.

    Args:
        listing: What is there now.
        text: What `split_text` returned.
        root: Where the images were looked for.

    Raises:
        DataError: If images are no longer there or of another class, or the text is no split.
    """
    names, parts, labels, classes = _parsed(text)
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
    new = sorted(places.keys() - set(names))
    chosen = listing.take(order, *left_out(new, "images that were not there when the run began"))
    return dataclasses.replace(
        chosen,
        parts=np.array(parts, np.int8),
        labels=np.array(labels, np.int32),
        classes=tuple(classes[label] for label in range(len(classes))),
    )


def _parsed(text: str) -> tuple[list[str], list[int], list[int], dict[int, str]]:
    """Returns names, parts and labels, and the classes of the labels."""
    names: list[str] = []
    parts: list[int] = []
    labels: list[int] = []
    classes: dict[int, str] = {}
    try:
        rows = csv.reader(io.StringIO(text))
        if next(rows) != _HEADER:
            raise ValueError("its first line is another")
        for name, part, label, class_name in rows:
            names.append(name)
            parts.append(PARTS.index(part))
            labels.append(int(label))
            classes[int(label)] = class_name
        if sorted(classes) != list(range(len(classes))):
            raise ValueError("classes are missing")
    except (StopIteration, ValueError, csv.Error) as error:
        reason = str(error) or "it is empty"
        raise DataError(
            f"The run's split cannot be read: {reason}. Restore it, or start a new run."
        ) from None
    return names, parts, labels, classes
