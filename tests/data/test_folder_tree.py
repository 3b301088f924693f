"""Folder trees as people have them, and every way in which one can be wrong."""

from pathlib import Path

import numpy as np
import pytest

from stn_tf.data import folder_tree
from stn_tf.data.split import TEST, TRAIN, VALIDATION
from stn_tf.errors import DataError
from tests.data.trees import write_image, write_tree

FLAT = {"cat": 3, "dog": 2}


def under(*parts: str) -> dict[str, int]:
    return {f"{part}/{name}": count for part in parts for name, count in FLAT.items()}


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    listing = folder_tree.find(write_tree(tmp_path, FLAT))
    assert listing.classes == ("cat", "dog")
    assert list(listing.store.names) == [*(f"cat/{i}.png" for i in range(3)), "dog/0.png",
                                         "dog/1.png"]  # fmt: skip
    assert listing.labels.dtype == np.int32
    np.testing.assert_array_equal(listing.labels, [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(listing.parts, TRAIN)
    assert listing.store.open(3) == tmp_path / "dog" / "0.png"
    assert listing.notes == ()


@pytest.mark.parametrize("train", ["train", "Training", "TRAIN"])
@pytest.mark.parametrize("validation", ["val", "valid", "Validation", None])
@pytest.mark.parametrize("test", ["test", "Testing", None])
def test_folders_of_parts_in_any_case(
    train: str, validation: str | None, test: str | None, tmp_path: Path
) -> None:
    folders = {train: TRAIN, validation: VALIDATION, test: TEST}
    folders.pop(None, None)
    listing = folder_tree.find(write_tree(tmp_path, under(*folders)))
    assert listing.classes == ("cat", "dog")
    for name, part in zip(listing.store.names, listing.parts, strict=True):
        assert folders[name.split("/")[0]] == part
    assert listing.words == {part: f"{name}/" for name, part in folders.items()}


def test_class_folders_may_be_deep_and_hold_other_things(tmp_path: Path) -> None:
    write_tree(tmp_path, {"cat/tabby/old": 1, "cat": 1, "dog": 2, "__MACOSX/cat": 1})
    (tmp_path / "cat" / ".hidden.png").write_bytes(b"x")
    (tmp_path / ".git").mkdir()
    (tmp_path / "cat" / "notes.txt").write_text("x")
    write_image(tmp_path / "cat" / "UPPER.JPG")
    write_image(tmp_path / "beside.png")
    listing = folder_tree.find(tmp_path)
    assert listing.classes == ("cat", "dog")
    assert sorted(listing.store.names) == [
        "cat/0.png", "cat/UPPER.JPG", "cat/tabby/old/0.png", "dog/0.png", "dog/1.png",
    ]  # fmt: skip


def test_links_are_followed_but_not_around(tmp_path: Path) -> None:
    write_tree(tmp_path / "elsewhere", {"photographs": 2})
    root = write_tree(tmp_path / "root", {"cat": 1, "dog": 1})
    (root / "cat" / "more").symlink_to(tmp_path / "elsewhere" / "photographs")
    (root / "cat" / "around").symlink_to(root)
    (root / "bird").symlink_to(tmp_path / "elsewhere" / "photographs")
    (root / "cat" / "gone.png").symlink_to(root / "nothing.png")
    listing = folder_tree.find(root)
    assert listing.classes == ("bird", "cat", "dog")
    assert list(listing.store.names) == [
        "bird/0.png", "bird/1.png", "cat/0.png", "cat/more/0.png", "cat/more/1.png", "dog/0.png",
    ]  # fmt: skip
    (note,) = listing.notes
    assert note == "Left out 1 files that are empty or links to nothing: cat/gone.png."


def test_empty_files_are_left_out_by_name(tmp_path: Path) -> None:
    write_tree(tmp_path, FLAT)
    for number in range(12):
        (tmp_path / "dog" / f"empty{number:02}.jpg").touch()
    listing = folder_tree.find(tmp_path)
    assert len(listing) == 5
    (note,) = listing.notes
    assert note.startswith("Left out 12 files that are empty")
    assert note.endswith("dog/empty09.jpg and 2 more.")


def test_folders_without_images_beside_parts_are_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {**under("train", "test"), "annotations": 0})
    (tmp_path / "annotations" / "boxes.csv").write_text("x")
    assert folder_tree.find(tmp_path).notes == ("Left out 1 folders without images: annotations/.",)


def test_a_part_may_lack_a_class(tmp_path: Path) -> None:
    write_tree(tmp_path, {**under("train"), "val/cat": 1, "val/dog": 0})
    assert len(folder_tree.find(tmp_path)) == 6


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({**under("train", "val"), "cats": 1}, r"is half a split: beside train/, val/ .*: cats/\."),
        (under("test"), r"is half a split: it has test/, but no folder train/\."),
        (under("val", "test"), r"is half a split: it has test/, val/, but no folder train/\."),
        (under("train", "val", "valid"), r"2 folders for validation: val/, valid/\."),
        (under("train", "Train"), r"2 folders for train: Train/, train/\."),
        ({"cat": 1, "dog": 0}, r"The class folder .*dog holds no image"),
        ({**under("train"), "train/bird": 0}, r"The class folder .*train/bird holds no image"),
        ({**under("train"), "test/bird": 1}, r"test/bird is of the class bird, of which .*train "),
        ({"cat": 1}, r"must hold at least two classes .*, but has only one, cat\."),
        (
            {"flowers/rose": 1, "flowers/tulip": 1},
            r"If the classes are rose, tulip, give .*flowers",
        ),
        ({"train/cat": 1, "test/cat": 1}, r"train must hold at least two classes"),
        ({"train": 3, "val": 3}, r"train must hold at least two classes .* has no sub-folder"),
        ({}, r"must hold at least two classes .*, but has no sub-folder"),
    ],
)
def test_a_wrong_tree_exception_raised(
    counts: dict[str, int], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        folder_tree.find(write_tree(tmp_path, counts))


def test_no_folder_exception_raised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`data_dir` must be a folder with one sub-folder"):
        folder_tree.find(tmp_path / "missing")
