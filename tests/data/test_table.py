"""Tables of images, in either form, and every way in which one can be wrong."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stn_tf.data import load_collection
from stn_tf.data.split import TEST, TRAIN, VALIDATION
from stn_tf.data.table import find, table_of
from stn_tf.errors import DataError
from tests.data.trees import write_tree

HEADER = ("path", "label", "split")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_tree(tmp_path, {"photographs": 6})


def write_csv(
    path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER, **form: str
) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, **form).writerows([header, *rows])
    return path


def rows(labels: str = "aabbcc", split: str = "train") -> list[list[str]]:
    return [[f"photographs/{n}.png", label, split] for n, label in enumerate(labels)]


def test_paths_labels_and_parts(images: Path) -> None:
    given = rows()
    for row, split in zip(
        given, ("train", "Val", "TESTING", "valid", "train", "test"), strict=True
    ):
        row[2] = split
    listing = find(write_csv(images / "labels.csv", given))
    assert listing.classes == ("a", "b", "c")
    assert list(listing.store.names) == [row[0] for row in given]
    np.testing.assert_array_equal(listing.labels, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(listing.parts, [TRAIN, VALIDATION, TEST, VALIDATION, TRAIN, TEST])
    assert listing.store.open(5) == images / "photographs" / "5.png"


@pytest.mark.parametrize(
    "header", [("Path", "Label", "Split"), ("file", "class", "set"), (" filename", "category",
               "subset"), ("image", "label", "other")]
)  # fmt: skip
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_headers_and_delimiters(header: Sequence[str], delimiter: str, images: Path) -> None:
    listing = find(write_csv(images / "any.csv", rows(split="test"), header, delimiter=delimiter))
    np.testing.assert_array_equal(listing.labels, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(listing.parts, TRAIN if header[2] == "other" else TEST)


def test_csv_and_parquet_alike(images: Path, tmp_path: Path) -> None:
    given = rows("210021")
    columns = [list(column) for column in zip(*given, strict=True)]
    table = pa.table(
        {"path": columns[0], "label": pa.array([int(label) for label in columns[1]], pa.int64()),
         "split": pa.array(columns[2]).dictionary_encode(), "width": np.arange(6.0)}
    )  # fmt: skip
    pq.write_table(table, images / "t.parquet")
    one, other = find(write_csv(images / "t.csv", given)), find(images / "t.parquet")
    assert one.classes == other.classes == ("0", "1", "2")
    assert one.store == other.store
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.parts, other.parts)


def test_numbers_as_labels_are_sorted_by_number(images: Path) -> None:
    given = [[f"photographs/{n}.png", label] for n, label in enumerate(["10", "9", "2", "2"])]
    assert find(write_csv(images / "t.csv", given, HEADER[:2])).classes == ("2", "9", "10")
    given[0][1] = "x10"
    assert find(write_csv(images / "t.csv", given, HEADER[:2])).classes == ("2", "9", "x10")
    # Text stays as it is written.
    given = [[f"photographs/{n}.png", label] for n, label in enumerate(["007", "7", "null", "1e3"])]
    assert set(find(write_csv(images / "t.csv", given, HEADER[:2])).classes) == {
        "007", "7", "null", "1e3",
    }  # fmt: skip


def test_a_folder_with_one_table_is_read_by_it(images: Path) -> None:
    write_csv(images / "sizes.csv", [["1", "2"]], ("width", "height"))
    assert table_of(images) is None
    write_csv(images / "labels.csv", [row[:2] for row in rows("aaabbb")], HEADER[:2])
    collection = load_collection(images)
    assert collection.classes == ("a", "b")
    assert "Read as a table, labels.csv (data=table" in collection.notes[1]
    assert load_collection(images / "labels.csv").notes == collection.notes
    write_csv(images / "more.csv", rows())
    with pytest.raises(DataError, match=r"holds 2 tables of images: labels\.csv, more\.csv"):
        load_collection(images)


def test_absolute_paths_and_empty_files(images: Path) -> None:
    given = rows()
    given[0][0] = str(images / "photographs" / "0.png")
    (images / "photographs" / "1.png").write_bytes(b"")
    listing = find(write_csv(images / "t.csv", given))
    assert listing.store.open(0) == images / "photographs" / "0.png"
    assert len(listing) == 5
    assert listing.notes[-1].endswith("links to nothing: photographs/1.png.")


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (0, 0, "", r"has 1 rows without a path: 2 \(the first row of images is 2\)"),
        (3, 1, " ", r"has 1 rows without a label: 5 "),
        (5, 2, "holdout", r"1 rows whose split is not one of train, .*: 7 \('holdout'\)"),
        (5, 2, "", r"1 rows whose split is not one of train, .*: 7 \(''\)"),
        (1, 0, "photographs/0.png", r"names 1 images again: rows 3 \(photographs/0\.png, as row 2"),
        (2, 0, "none.png", r"t\.csv names 1 images that are not in .*: none\.png\. Add them"),
    ],
)
def test_bad_rows_are_named_by_number(
    row: int, column: int, value: str, message: str, images: Path
) -> None:
    given = rows()
    given[row][column] = value
    with pytest.raises(DataError, match=message):
        find(write_csv(images / "t.csv", given))


def test_many_missing_images_are_counted(images: Path) -> None:
    given = [[f"{number}.png", "a", "train"] for number in range(30)]
    with pytest.raises(DataError, match=r"names 30 images .* 0\.png, .*, 9\.png and 20 more\. Add"):
        find(write_csv(images / "t.csv", given))


def test_wrong_files_exception_raised(images: Path) -> None:
    write_csv(images / "t.csv", [["1", "2"]], ("width", "height"))
    with pytest.raises(DataError, match=r"a column path or file .*, but has width, height\."):
        find(images / "t.csv")
    (images / "t.csv").write_bytes(b"path,label\na.png,b,c,d\n")
    with pytest.raises(DataError, match=r"t\.csv cannot be read as a table: .*Expected 2 columns"):
        load_collection(images)
    (images / "t.csv").write_bytes(b"path,label\n\xff.png,b\n")
    with pytest.raises(DataError, match=r"t\.csv cannot be read as a table: .*UTF8"):
        find(images / "t.csv")
    (images / "t.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"t\.parquet cannot be read as a table"):
        find(images / "t.parquet")
    with pytest.raises(DataError, match=r"`data_dir` must be a \.csv or \.parquet file"):
        load_collection(images / "photographs", kind="table")


def test_training_rows_are_needed(images: Path) -> None:
    with pytest.raises(DataError, match="is half a split: it has no image to train on, only test"):
        load_collection(write_csv(images / "t.csv", rows(split="test")))
