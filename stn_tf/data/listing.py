"""What a kind of data finds: images by number, with their names, labels and parts."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import numpy as np

from stn_tf.data.image_file import UNREADABLE, read_header
from stn_tf.data.names import Names
from stn_tf.data.split import PARTS
from stn_tf.errors import DataError

# Waiting for a disk or a network, most of the time.
_THREADS = 16
_PIECE = 256
_MOST_NAMED = 10
EMPTY = "files that are empty or links to nothing"

_T = TypeVar("_T")


class Store(Protocol):
    """Images by number, wherever they lie."""

    @property
    def names(self) -> Names:
        """The identity of each image: a relative path, with `/`."""

    def open(self, index: int) -> Path | BinaryIO:
        """Returns what `read_image` takes."""

    def take(self, indices: np.ndarray) -> "Store":
        """Returns some of the images, in the order of `indices`."""

    def fingerprint(self) -> str:
        """Returns what differs where names, sizes or times of the files do."""


@dataclasses.dataclass(frozen=True)
class Files:
    """Images that are files below a folder."""

    root: Path
    names: Names

    def open(self, index: int) -> Path:
        return self.root / self.names[index]

    def take(self, indices: np.ndarray) -> "Files":
        return Files(self.root, self.names.take(indices))

    def fingerprint(self) -> str:
        def status(index: int) -> bytes:
            try:
                found = self.open(index).stat()
            except OSError:
                return b"-"
            return f"{found.st_size} {found.st_mtime_ns};".encode()

        digest = hashlib.sha256(self.names.digest())
        for text in in_threads(status, len(self.names)):
            digest.update(text)
        return digest.hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class Listing:
    """All images of some data.

    Attributes:
        store: The images.
        labels: int32 `[N]`, indices into `classes`.
        parts: int8 `[N]`, TRAIN, VALIDATION or TEST; all TRAIN where the data does not say.
        classes: Their names, in order.
        notes: What was decided, a line each.
        words: What the data calls its parts.
    """

    store: Store
    labels: np.ndarray
    parts: np.ndarray
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    words: Mapping[int, str] = dataclasses.field(default_factory=lambda: dict(enumerate(PARTS)))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray, *notes: str) -> "Listing":
        """Returns some of the images, with further notes."""
        return dataclasses.replace(
            self,
            store=self.store.take(indices),
            labels=self.labels[indices],
            parts=self.parts[indices],
            notes=(*self.notes, *notes),
        )


def listed(items: Sequence[str], most: int = _MOST_NAMED) -> str:
    """Returns items as errors name them: at most ten."""
    rest = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(items[:most]) + rest


def left_out(names: Sequence[str], why: str) -> tuple[str, ...]:
    """Returns the note that images were left out, if any were."""
    return (f"Left out {len(names):,} {why}: {listed(names)}.",) if names else ()


def in_threads(function: Callable[[int], _T], count: int) -> Iterator[_T]:
    """Returns `function` of 0, 1, ..., `count - 1`, computed in threads, in order."""

    length = max(1, min(_PIECE, count // (4 * _THREADS)))

    def piece(start: int) -> list[_T]:
        return [function(index) for index in range(start, min(start + length, count))]

    with ThreadPoolExecutor(_THREADS) as pool:
        for results in pool.map(piece, range(0, count, length)):
            yield from results


def without_missing(listing: Listing, root: Path, told_by: str) -> Listing:
    """Leaves out files of no bytes, and refuses those that are not there.

    Args:
        listing: Of `Files`.
        root: Where they should be.
        told_by: The file that names them.

    Raises:
        DataError: If files are missing.
    """

    def size(index: int) -> int:
        try:
            path = listing.store.open(index)
            assert isinstance(path, Path)
            return path.stat().st_size
        except (OSError, ValueError):
            return -1

    sizes = np.fromiter(in_threads(size, len(listing)), np.int64, len(listing))
    missing = np.flatnonzero(sizes < 0)
    if len(missing):
        names = listing.store.names.take(missing[: _MOST_NAMED + 1])
        raise DataError(
            f"{told_by} names {len(missing):,} images that are not in {root}: "
            f"{listed([*names, *[''] * (len(missing) - len(names))])}. Add them, or remove "
            "their lines."
        )
    return without_empty(listing, sizes)


def without_empty(listing: Listing, sizes: np.ndarray) -> Listing:
    """Leaves out images of no bytes, with a note."""
    if np.all(sizes):
        return listing
    names = list(listing.store.names.take(np.flatnonzero(sizes == 0)))
    return listing.take(np.flatnonzero(sizes), *left_out(names, EMPTY))


def without_unreadable(listing: Listing) -> Listing:
    """Leaves out images whose headers cannot be read, with a note.

    Raises:
        DataError: If none can be read.
    """

    def fault(index: int) -> str:
        try:
            read_header(listing.store.open(index))
        except UNREADABLE as error:
            return str(error).splitlines()[0] if str(error) else repr(error)
        return ""

    faults = {index: text for index, text in enumerate(in_threads(fault, len(listing))) if text}
    if not faults:
        return listing
    names = [f"{listing.store.names[index]} ({text})" for index, text in faults.items()]
    if len(faults) == len(listing):
        raise DataError(f"None of the {len(listing):,} images can be read. The first: {names[0]}.")
    readable = np.setdiff1d(np.arange(len(listing)), list(faults))
    return listing.take(readable, *left_out(names, "images that cannot be read"))
