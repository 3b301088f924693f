"""Birds in the layout in which they are published."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from stn_tf.data import load_collection
from stn_tf.errors import DataError


@pytest.fixture
def copy(cub_dir: Path, tmp_path: Path) -> Path:
    """The birds' lists, with links to the images."""
    root = tmp_path / "CUB_200_2011"
    root.mkdir()
    for path in cub_dir.glob("*.txt"):
        shutil.copy(path, root)
    (root / "images").symlink_to(cub_dir / "images")
    return root


def test_the_official_split(cub_dir: Path) -> None:
    collection = load_collection(cub_dir)
    assert len(collection.classes) == 10
    assert collection.classes[0] == "001.Black_footed_Albatross"
    assert [len(p) for p in (collection.train, collection.validation, collection.test)] == [
        270, 30, 243,
    ]  # fmt: skip
    training = {
        line.split()[0]
        for line in (cub_dir / "train_test_split.txt").read_text().splitlines()
        if line.split()[1] == "1"
    }
    official = {
        line.split()[1]
        for line in (cub_dir / "images.txt").read_text().splitlines()
        if line.split()[0] in training
    }
    assert set(collection.train.names) | set(collection.validation.names) == official
    np.testing.assert_array_equal(np.bincount(collection.validation.labels), 3)
    for part in (collection.train, collection.test):
        for index in (0, len(part) - 1):
            assert part.open(index).parent.name == collection.classes[part.labels[index]]
    assert "data=cub" in collection.notes[1]
    # The folder that the archive is unpacked into will do.
    assert load_collection(cub_dir.parent).notes == collection.notes


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("image_class_labels.txt", "1 1\n", "", r"of the same images, but number 1 is in one"),
        ("image_class_labels.txt", "1 1\n", "1 99\n", r"must be of a class in .* of '99'"),
        ("train_test_split.txt", "1 0\n", "1 2\n", r"Image 1 in .* 1 \(train\) or 0 .* is '2'"),
        ("images.txt", "1 001", "x 001", r"Line 1 of .*images\.txt must be a new number"),
        ("images.txt", "2 001", "1 001", r"Line 2 of .*images\.txt must be a new number"),
    ],
)
def test_wrong_lists_exception_raised(
    file: str, old: str, new: str, message: str, copy: Path
) -> None:
    text = (copy / file).read_text()
    assert old in text
    (copy / file).write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        load_collection(copy)


def test_missing_images_exception_raised(copy: Path) -> None:
    for file, line in (
        ("images.txt", "9002 001.None/x.jpg"),
        ("image_class_labels.txt", "9002 1"),
        ("train_test_split.txt", "9002 1"),
    ):
        (copy / file).write_text(f"{line}\n{(copy / file).read_text()}")
    with pytest.raises(DataError, match=r"images\.txt names 1 images .*: 001\.None/x\.jpg\."):
        load_collection(copy)


def test_missing_lists_exception_raised(copy: Path) -> None:
    (copy / "classes.txt").unlink()
    with pytest.raises(DataError, match=r"classes\.txt cannot be read: No such file"):
        load_collection(copy)
    (copy / "images.txt").unlink()
    with pytest.raises(DataError, match=r"is no CUB: it must hold images\.txt"):
        load_collection(copy, kind="cub")
