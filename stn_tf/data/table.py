"""A table of images, their classes and, if it says so, their parts: CSV or Parquet."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stn_tf.data.folder_tree import PART_NAMES
from stn_tf.data.listing import Files, Listing, listed, without_missing
from stn_tf.data.names import Names
from stn_tf.data.split import TRAIN
from stn_tf.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".csv", ".parquet")
# Headers, in any case.
_NAMES_FIRST = " The first line of a CSV file must name its columns."
_PATHS = ("path", "file", "filename", "image")
_LABELS = ("label", "class", "category")
_SPLITS = ("split", "set", "subset")


def table_of(path: Path) -> Path | None:
    """Returns the table that `path` is, or the one in it that names images and classes.

    Raises:
        DataError: If there are several.
    """
    if path.is_file():
        return path if path.suffix.lower() in SUFFIXES else None
    if not path.is_dir():
        return None
    tables = sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in SUFFIXES
        and not file.name.startswith(".")
        and file.is_file()
        and _names_images(file)
    )
    if len(tables) > 1:
        raise DataError(
            f"{path} holds {len(tables)} tables of images: "
            f"{listed([file.name for file in tables])}. Give one of them as `data_dir`, or "
            "data=folder to read the sub-folders."
        )
    return tables[0] if tables else None


def find(path: Path) -> Listing:
    """Lists the images of a table; paths are relative to where it is.

    Raises:
        DataError: If it cannot be read, has rows that name no image or class, or names images that
            are not there.
    """
    file = table_of(path)
    if file is None:
        raise DataError(
            f"`data_dir` must be a .csv or .parquet file with the columns path and label, or a "
            f"folder with one, but {path} is not."
        )
    columns = _read(file)
    names = _column(columns, _PATHS)
    labels = _column(columns, _LABELS)
    split = _column(columns, _SPLITS)
    if names is None or labels is None:
        raise DataError(
            f"{file} must have a column {' or '.join(_PATHS)} and a column "
            f"{' or '.join(_LABELS)}, but has {listed(list(columns))}."
            f"{_NAMES_FIRST if file.suffix.lower() == '.csv' else ''}"
        )
    # Rows are counted as a text editor does: the header is the first line of a CSV file.
    first = 2 if file.suffix.lower() == ".csv" else 1
    _check_filled(file, first, {"path": names, "label": labels})
    parts = np.full(len(names), TRAIN, np.int8)
    if split is not None:
        parts = _parts(file, first, split)
    paths = names.to_pylist()
    _check_distinct(file, first, paths)
    distinct = _sorted_classes(labels.unique().to_pylist())
    index = {name: number for number, name in enumerate(distinct)}
    listing = Listing(
        Files(file.parent, Names(paths)),
        np.array([index[text] for text in labels.to_pylist()], np.int32),
        parts,
        tuple(distinct),
        (f"Read as a table, {file.name} (data=table; data=folder reads sub-folders).",),
    )
    return without_missing(listing, file.parent, str(file))


def _read(file: Path) -> "dict[str, pa.ChunkedArray]":
    """Returns the columns of a table by their headers, in small letters, as text."""
    import pyarrow as pa

    try:
        table = _read_csv(file) if file.suffix.lower() == ".csv" else _read_parquet(file)
        columns = {
            name.strip().casefold(): column
            for name, column in zip(table.column_names, table.columns, strict=True)
        }
        wanted = {*_PATHS, *_LABELS, *_SPLITS}
        return {
            name: _text(column) if name in wanted else column for name, column in columns.items()
        }
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise DataError(f"{file} cannot be read as a table: {reason}.") from None


def _read_csv(file: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.csv as pc

    # As it is written: 007 is no number.
    types = dict.fromkeys(_headers(file), pa.string())
    return pc.read_csv(
        file,
        convert_options=pc.ConvertOptions(column_types=types, strings_can_be_null=False),
        parse_options=pc.ParseOptions(
            delimiter=_first_line(file)[1], newlines_in_values=True, ignore_empty_lines=False
        ),
    )


def _read_parquet(file: Path) -> "pa.Table":
    import pyarrow.parquet as pq

    wanted = {*_PATHS, *_LABELS, *_SPLITS}
    columns = [name for name in _headers(file) if name.strip().casefold() in wanted]
    return pq.read_table(file, columns=columns or None)


def _names_images(file: Path) -> bool:
    """Whether a table has a column of paths and one of labels."""
    import pyarrow as pa

    try:
        names = {header.strip().casefold() for header in _headers(file)}
    except (OSError, pa.ArrowException):
        return False
    return bool(names & {*_PATHS}) and bool(names & {*_LABELS})


def _headers(file: Path) -> list[str]:
    import pyarrow.parquet as pq

    if file.suffix.lower() == ".parquet":
        return list(pq.read_schema(file).names)
    line, delimiter = _first_line(file)
    return next(csv.reader([line], delimiter=delimiter), [])


def _first_line(file: Path) -> tuple[str, str]:
    """Returns it, and what it has most of: commas, semicolons or tabs."""
    with file.open("rb") as opened:
        line = opened.readline(65536).decode("utf-8-sig", "replace")
    return line, max(",;\t", key=line.count)


def _text(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pc.utf8_trim_whitespace(column.cast(pa.string()))


def _column(
    columns: "dict[str, pa.ChunkedArray]", headers: Sequence[str]
) -> "pa.ChunkedArray | None":
    return next((columns[header] for header in headers if header in columns), None)


def _check_filled(file: Path, first: int, columns: "dict[str, pa.ChunkedArray]") -> None:
    for name, column in columns.items():
        bad = [str(row) for row, value in enumerate(column.to_pylist(), first) if not value]
        if bad:
            raise DataError(
                f"{file} has {len(bad):,} rows without a {name}: {listed(bad)} (the first row of "
                f"images is {first}). Fill them in, or remove them."
            )


def _parts(file: Path, first: int, split: "pa.ChunkedArray") -> np.ndarray:
    texts = split.unique().to_pylist()
    known = {text: PART_NAMES.get((text or "").casefold(), -1) for text in texts}
    parts = np.array([known[text] for text in split.to_pylist()], np.int8)
    if len(bad := np.flatnonzero(parts < 0)):
        rows = [f"{row + first} ({split[int(row)].as_py()!r})" for row in bad[:11]]
        rows += [""] * (len(bad) - len(rows))
        raise DataError(
            f"{file} has {len(bad):,} rows whose split is not one of {', '.join(PART_NAMES)}: "
            f"{listed(rows)}. Name a part for each, or leave the column out."
        )
    return parts


def _check_distinct(file: Path, first: int, paths: Sequence[str]) -> None:
    if len(set(paths)) == len(paths):
        return
    rows: dict[str, int] = {}
    twice = []
    for row, path in enumerate(paths, first):
        if path in rows:
            twice.append(f"{row} ({path}, as row {rows[path]})")
        rows.setdefault(path, row)
    raise DataError(f"{file} names {len(twice):,} images again: rows {listed(twice)}. Remove them.")


def _sorted_classes(names: Sequence[str]) -> list[str]:
    """By their numbers where all are whole numbers, or else as text."""
    if all(name.removeprefix("-").isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)
