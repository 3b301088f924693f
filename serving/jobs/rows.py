"""The rows that a job writes: JSON lines, CSV or Parquet, whole or not at all."""

import csv
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from stn_tf.errors import InputError


@dataclass(frozen=True)
class Column:
    """What the rows have under one name.

    Attributes:
        values: One for each row: an array whose first dimension they are, a list of texts, or a
            list of tuples of texts.
        parts: What CSV calls the numbers of a row, in their order; by default it counts those of
            vectors, `name_0`, `name_1`, and has no place for more dimensions.
    """

    values: Sequence[Any] | np.ndarray
    parts: tuple[str, ...] = ()


# By name, in order.
Columns = Mapping[str, Column]


class RowWriter(ABC):
    """Writes rows beside the file that is asked for, and renames it when all are there.

    As a context manager: leaving with an error, or without a row, leaves no file behind.
    Numbers are written with the digits that a float32 has: 0.1, not 0.10000000149011612.
    """

    suffix: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        # Hidden and unique: two jobs with one output do not write into each other's file.
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        self._opened = False

    def write(self, columns: Columns) -> None:
        """Appends rows; every call has the same columns."""
        if not self._opened:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._open(columns)
            self._opened = True
        self._append(columns)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error_type: type[BaseException] | None, *rest: object) -> None:
        try:
            if self._opened:
                self._close()
                if error_type is None:
                    os.replace(self._partial, self.path)
        finally:
            self._partial.unlink(missing_ok=True)

    @abstractmethod
    def _open(self, columns: Columns) -> None: ...

    @abstractmethod
    def _append(self, columns: Columns) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...


class JsonLinesWriter(RowWriter):
    """One JSON object per line; what is not a finite number is null, as JSON has none."""

    suffix = ".jsonl"

    def _open(self, columns: Columns) -> None:
        self._file = self._partial.open("w", encoding="utf-8")

    def _append(self, columns: Columns) -> None:
        for row in _rows(columns):
            record = dict(zip(columns, map(_finite, row), strict=True))
            self._file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")

    def _close(self) -> None:
        self._file.close()


class CsvWriter(RowWriter):
    """One line per row; vectors become columns, and lists of texts one text with `|` between."""

    suffix = ".csv"

    def _open(self, columns: Columns) -> None:
        header = [part for name, column in columns.items() for part in self._names(name, column)]
        self._file = self._partial.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        self._writer.writerow(header)

    def _names(self, name: str, column: Column) -> Sequence[str]:
        if column.parts:
            return column.parts
        if not isinstance(column.values, np.ndarray) or column.values.ndim == 1:
            return [name]
        if column.values.ndim == 2:
            return [f"{name}_{index}" for index in range(column.values.shape[1])]
        raise InputError(
            f"`{name}` has shape {list(column.values.shape[1:])} for each image, and a line of "
            "CSV holds numbers and vectors only. Write .parquet or .jsonl."
        )

    def _append(self, columns: Columns) -> None:
        for row in _rows(columns):
            self._writer.writerow([cell for value in row for cell in _cells(value)])

    def _close(self) -> None:
        self._file.close()


class ParquetWriter(RowWriter):
    """Typed columns: float32 numbers, and nested lists of them."""

    suffix = ".parquet"
    _ROWS_PER_GROUP = 16_384

    def _open(self, columns: Columns) -> None:
        import pyarrow as pa
        import pyarrow.parquet as parquet

        fields = [pa.field(name, _arrow_type(c.values)) for name, c in columns.items()]
        self._schema = pa.schema(fields)
        self._writer = parquet.ParquetWriter(self._partial, self._schema)
        self._waiting: list[Any] = []

    def _append(self, columns: Columns) -> None:
        import pyarrow as pa

        arrays = [
            pa.array(v.tolist() if isinstance(v, np.ndarray) else v, field.type)
            for v, field in zip((c.values for c in columns.values()), self._schema, strict=True)
        ]
        self._waiting.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        if sum(batch.num_rows for batch in self._waiting) >= self._ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema))
        self._waiting = []

    def _close(self) -> None:
        try:
            if self._waiting:
                self._flush()
        finally:
            self._writer.close()


_WRITERS = {writer.suffix: writer for writer in (JsonLinesWriter, CsvWriter, ParquetWriter)}
FORMATS = tuple(_WRITERS)


def row_writer(path: Path) -> RowWriter:
    """Returns the writer for a file's extension.

    Args:
        path: Where the rows go, when all are there.

    Raises:
        ValueError: If the extension is none of `FORMATS`, or a folder stands there.
    """
    path = Path(path)
    if path.suffix.lower() not in _WRITERS:
        raise ValueError(
            f"`output` must end in one of {', '.join(FORMATS)}, but it is {str(path)!r}."
        )
    if path.is_dir():
        raise ValueError(f"`output` must be a file, but {str(path)!r} is a folder.")
    return _WRITERS[path.suffix.lower()](path)


def _rows(columns: Columns) -> Iterator[tuple[Any, ...]]:
    return zip(*(_plain(column.values) for column in columns.values()), strict=True)


def _plain(values: Sequence[Any] | np.ndarray) -> list[Any]:
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        # The shortest decimal that gives the same float32 again.
        shortest = np.array([float(str(value)) for value in values.ravel()])
        return list(shortest.reshape(values.shape).tolist())
    return list(values.tolist() if isinstance(values, np.ndarray) else values)


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _cells(value: Any) -> list[Any]:
    if isinstance(value, tuple):  # Texts; numbers are in lists.
        return ["|".join(value)]
    return [cell for item in value for cell in _cells(item)] if isinstance(value, list) else [value]


def _arrow_type(values: Sequence[Any] | np.ndarray) -> Any:
    import pyarrow as pa

    if not isinstance(values, np.ndarray):
        lists = bool(values) and isinstance(values[0], tuple)
        return pa.list_(pa.string()) if lists else pa.string()
    kind = values.dtype.kind
    arrow = pa.string() if kind in "OU" else pa.from_numpy_dtype(values.dtype)
    for _ in range(values.ndim - 1):
        arrow = pa.list_(arrow)
    return arrow
