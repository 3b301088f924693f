"""Names of images: text, held as bytes in one piece, because there may be millions."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np


class Names(Sequence[str]):
    """An immutable row of names; about their bytes and 8 more each, where a `str` takes 49 more.

    Names of files that are no UTF-8 come back as Python's own functions give them.

    Args:
        names: What it holds.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        content = bytearray()
        ends = [0]
        for name in names:
            content += name.encode("utf-8", "surrogateescape")
            ends.append(len(content))
        self._content = bytes(content)
        self._ends = np.array(ends, np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> "Names": ...

    def __getitem__(self, index: int | slice) -> "str | Names":
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"`index` must be below {len(self)}, but it is {index}.")
        index = int(index) % len(self)
        return self._text(int(self._ends[index]), int(self._ends[index + 1]))

    def __iter__(self) -> Iterator[str]:
        ends = self._ends
        # In pieces, so that not every number becomes an object at once.
        for start in range(0, len(self), 4096):
            piece = ends[start : start + 4097].tolist()
            for first, last in itertools.pairwise(piece):
                yield self._text(first, last)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Names):
            return self._content == other._content and np.array_equal(self._ends, other._ends)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def digest(self) -> bytes:
        """Returns the SHA-256 of all names in their order."""
        return hashlib.sha256(self._ends.tobytes() + self._content).digest()

    def take(self, indices: Iterable[int] | np.ndarray) -> "Names":
        """Returns some of the names, in the order of `indices`."""
        return Names(self[int(index)] for index in indices)

    def _text(self, start: int, stop: int) -> str:
        return self._content[start:stop].decode("utf-8", "surrogateescape")
