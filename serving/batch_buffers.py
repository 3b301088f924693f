"""Joins the inputs of several requests in memory that is kept from batch to batch."""

from collections.abc import Mapping, Sequence

import numpy as np

_KEPT = 8


class BatchBuffers:
    """The memory of one thread: what `join` returned holds until it is called again."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[object, ...], np.ndarray] = {}

    def join(self, parts: Sequence[Mapping[str, np.ndarray]], rows: int) -> dict[str, np.ndarray]:
        """Returns the rows of all parts, one after the other.

        Args:
            parts: The inputs of each request by name: of the same names, types and ranks. Where
                they differ in size, zeros (empty strings) are added at the end.
            rows: How many rows to return, at least as many as there are; the first one is
                repeated, because zeros may be what a model cannot take.
        """
        if len(parts) == 1 and all(len(value) == rows for value in parts[0].values()):
            return dict(parts[0])
        return {name: self._join(name, [part[name] for part in parts], rows) for name in parts[0]}

    def _join(self, name: str, values: list[np.ndarray], rows: int) -> np.ndarray:
        sizes = zip(*(value.shape[1:] for value in values), strict=True)
        shape = tuple(max(lengths) for lengths in sizes)
        buffer = self._buffer(name, rows, shape, values[0].dtype)
        place = 0
        for value in values:
            here = buffer[place : place + len(value)]
            if value.shape[1:] != shape:
                here[...] = b"" if value.dtype == object else 0
            here[(slice(None), *map(slice, value.shape[1:]))] = value
            place += len(value)
        buffer[place:] = buffer[:1]
        return buffer

    def _buffer(self, name: str, rows: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        key = (name, shape, dtype)
        found = self._buffers.get(key)
        if found is None or len(found) < rows:
            if len(self._buffers) >= _KEPT:
                self._buffers.clear()
            found = self._buffers[key] = np.empty((rows, *shape), dtype)
        return found[:rows]
