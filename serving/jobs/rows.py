"""The rows that a job writes: JSON lines, CSV or Parquet, whole or not at all."""

import csv
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

# Columns by name, in order: one value or array per row.
Columns = Mapping[str, Sequence[Any] | np.ndarray]
_CORNERS = ("top_left", "top_right", "bottom_right", "bottom_left")


class RowWriter(ABC):
    """Writes rows beside the file that is asked for, and renames it when all are there.

    As a context manager: leaving with an error, or without a row, leaves no file behind.
    Numbers are written with the digits that a float32 has: 0.1, not 0.10000000149011612.
    """

    suffix: ClassVar[str]

    def __init__(self, path: Path, classes: Sequence[str] = ()) -> None:
        self.path = path
        self.classes = classes
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
        for row in zip(*(_plain(values) for values in columns.values()), strict=True):
            record = dict(zip(columns, map(_finite, row), strict=True))
            self._file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")

    def _close(self) -> None:
        self._file.close()


class CsvWriter(RowWriter):
    """One line per row; lists become columns: theta_0, corner_top_left_x, probability_cat."""

    suffix = ".csv"

    def _open(self, columns: Columns) -> None:
        self._file = self._partial.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")
        header: list[str] = []
        for name, values in columns.items():
            header += self._names(name, np.shape(values)[1:])
        self._writer.writerow(header)

    def _names(self, name: str, shape: tuple[int, ...]) -> list[str]:
        if not shape:
            return [name]
        if name == "probabilities":
            return [f"probability_{label}" for label in self.classes or range(shape[0])]
        if name.startswith("corners"):
            number = name.removeprefix("corners")
            return [f"corner_{corner}_{axis}{number}" for corner in _CORNERS for axis in "xy"]
        return [f"{name}_{index}" for index in range(shape[0])]

    def _append(self, columns: Columns) -> None:
        for row in zip(*(_plain(values) for values in columns.values()), strict=True):
            self._writer.writerow([cell for value in row for cell in _flat(value)])

    def _close(self) -> None:
        self._file.close()


class ParquetWriter(RowWriter):
    """Typed columns: float32 numbers, lists for theta and probabilities, lists of [x, y]."""

    suffix = ".parquet"
    _ROWS_PER_GROUP = 16_384

    def _open(self, columns: Columns) -> None:
        import pyarrow as pa
        import pyarrow.parquet as parquet

        fields = [pa.field(name, _arrow_type(values)) for name, values in columns.items()]
        self._schema = pa.schema(fields)
        self._writer = parquet.ParquetWriter(self._partial, self._schema)
        self._waiting: list[Any] = []

    def _append(self, columns: Columns) -> None:
        import pyarrow as pa

        arrays = [
            pa.array(values.tolist() if isinstance(values, np.ndarray) else values, field.type)
            for values, field in zip(columns.values(), self._schema, strict=True)
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


def row_writer(path: Path, classes: Sequence[str] = ()) -> RowWriter:
    """Returns the writer for a file's extension.

    Args:
        path: Where the rows go, when all are there.
        classes: Names that CSV gives the columns of `probabilities`.

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
    return _WRITERS[path.suffix.lower()](path, classes)


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


def _flat(value: Any) -> list[Any]:
    return [cell for item in value for cell in _flat(item)] if isinstance(value, list) else [value]


def _arrow_type(values: Sequence[Any] | np.ndarray) -> Any:
    import pyarrow as pa

    kind = values.dtype if isinstance(values, np.ndarray) else np.asarray(values).dtype
    arrow = pa.string() if kind.kind == "U" else pa.from_numpy_dtype(kind)
    for _ in np.shape(values)[1:]:
        arrow = pa.list_(arrow)
    return arrow
