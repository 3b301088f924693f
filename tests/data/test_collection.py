"""From a folder to three parts."""

import logging
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from stn_tf.data import check_classes, load_collection
from stn_tf.data.collection import Collection
from stn_tf.errors import ConfigError, DataError
from tests.data.trees import write_tree


def names(collection: Collection) -> dict[str, set[str]]:
    parts = {name: getattr(collection, name) for name in ("train", "validation", "test")}
    for part in parts.values():
        for name, label in zip(part.names, part.labels, strict=True):
            assert collection.classes[label] in name.split("/")
    return {name: set(part.names) for name, part in parts.items()}


def tree(root: Path, *parts: str, count: int = 10) -> Path:
    return write_tree(root, {f"{part}{name}": count for part in parts for name in ("cat", "dog")})


def test_without_parts_both_are_set_aside(tmp_path: Path) -> None:
    collection = load_collection(tree(tmp_path, ""))
    found = names(collection)
    assert [len(part) for part in found.values()] == [14, 2, 4]
    assert len(set.union(*found.values())) == 20
    assert collection.root == tmp_path
    assert len(collection.everything) == 20
    assert collection.notes == (
        "20 images of 2 classes: 14 to train on, 2 to choose by, 4 to report on.",
        "Set aside of each class to train on: 10 % to choose by (validation_share=0.1) and 20 % to "
        "report on (test_share=0.2), by the hash of the names.",
    )
    assert names(load_collection(tmp_path)) == found
    more = load_collection(tmp_path, validation_share=0.2, test_share=0.4)
    assert [len(part) for part in names(more).values()] == [8, 4, 8]
    assert names(more)["test"] >= found["test"]


def test_train_alone_is_the_same_as_no_parts(tmp_path: Path) -> None:
    found = names(load_collection(tree(tmp_path, "train/")))
    assert [len(part) for part in found.values()] == [14, 2, 4]


def test_train_and_val_are_measured_on_val(tmp_path: Path) -> None:
    collection = load_collection(tree(tmp_path, "train/", "val/"))
    found = names(collection)
    assert {name.split("/")[0] for name in found["train"] | found["validation"]} == {"train"}
    assert {name.split("/")[0] for name in found["test"]} == {"val"}
    assert [len(part) for part in found.values()] == [18, 2, 20]
    assert collection.notes[1].startswith("The result is measured on val/, because there is no")
    assert "10 % to choose by (validation_share=0.1), by" in collection.notes[2]


def test_train_and_test_keep_the_test(tmp_path: Path) -> None:
    found = names(load_collection(tree(tmp_path, "train/", "test/")))
    assert {name.split("/")[0] for name in found["test"]} == {"test"}
    assert [len(part) for part in found.values()] == [18, 2, 20]


def test_three_parts_stay_as_they_are(tmp_path: Path) -> None:
    collection = load_collection(tree(tmp_path, "train/", "valid/", "test/"))
    for part, folder in (("train", "train"), ("validation", "valid"), ("test", "test")):
        assert {name.split("/")[0] for name in names(collection)[part]} == {folder}
        assert len(getattr(collection, part)) == 20
    assert len(collection.notes) == 1


def test_an_open_image_is_its_file(tmp_path: Path) -> None:
    part = load_collection(tree(tmp_path, "train/", "test/")).test
    assert part.open(3) == tmp_path / part.names[3]
    assert part.labels.dtype == np.int32


def test_headers_tell_sizes(tmp_path: Path) -> None:
    part = load_collection(tree(tmp_path, "")).train
    assert [header[:3] for header in part.headers()] == [(12, 16, 3)] * 14
    assert len(part.headers(5)) == 5


def test_unreadable_images_are_left_out_in_one_line(tmp_path: Path) -> None:
    tree(tmp_path, "")
    for number in range(3):
        (tmp_path / "cat" / f"{number}.png").write_bytes(b"no image")
    collection = load_collection(tmp_path)
    assert len(collection.everything) == 17
    (line,) = [note for note in collection.notes if note.startswith("Left out")]
    assert line.startswith("Left out 3 images that cannot be read: cat/0.png (cannot identify")


def test_nothing_readable_exception_raised(tmp_path: Path) -> None:
    tree(tmp_path, "", count=3)
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"None of the 6 images can be read\. The first: cat/0.png"):
        load_collection(tmp_path)


def test_large_collections_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "")
    (tmp_path / "cat" / "0.png").write_bytes(b"no image")
    monkeypatch.setattr("stn_tf.data.collection._MOST_HEADERS", 19)
    assert len(load_collection(tmp_path).everything) == 20


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"cat": 5, "dog": 2}, r"at least 3 readable images .* 1 have fewer: dog \(2\)"),
        ({"train/cat": 5, "train/dog": 1, "test/dog": 1}, r"at least 2 .*: dog \(1\)"),
    ],
)
def test_few_images_exception_raised(counts: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load_collection(write_tree(tmp_path, counts))


def test_wrong_settings_exception_raised(tmp_path: Path) -> None:
    tree(tmp_path, "")
    with pytest.raises(ConfigError, match=r"`data` must be one of auto, folder, .* 'folders'"):
        load_collection(tmp_path, kind="folders")
    with pytest.raises(ConfigError, match=r"`test_share` must be .*, but it is -0\.1"):
        load_collection(tmp_path, test_share=-0.1)
    with pytest.raises(ConfigError, match=r"`validation_share` must be .*, but it is 0\.5"):
        load_collection(tmp_path, validation_share=0.5, test_share=0.5)
    with pytest.raises(DataError, match="`data_dir` must be a folder"):
        load_collection(tmp_path / "none")


def test_what_the_system_refuses_exception_raised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"xxx.* cannot be read: .*too long"):
        load_collection(tmp_path / ("x" * 5000))


def test_classes_in_the_order_of_a_model(tmp_path: Path) -> None:
    tree(tmp_path, "")
    collection = load_collection(tmp_path, classes=("dog", "cat"))
    assert collection.classes == ("dog", "cat")
    names(collection)
    with pytest.raises(DataError, match="holds the classes dog, which are not among the 2"):
        load_collection(tmp_path, classes=("bird", "cat"))
    with pytest.raises(DataError, match=r"have fewer: bird \(0\)"):
        load_collection(tmp_path, classes=("bird", "cat", "dog"))


def test_check_classes(tmp_path: Path) -> None:
    collection = load_collection(tree(tmp_path, ""))
    check_classes(collection, ["cat", "dog"])
    with pytest.raises(DataError, match=r"other classes .* \(new: dog; missing: bird\)"):
        check_classes(collection, ["bird", "cat"])
    with pytest.raises(DataError, match=r"\(in another order\)\. Give a folder with the same 2"):
        check_classes(collection, ["dog", "cat"])


def test_a_large_folder_takes_little_memory(tmp_path: Path) -> None:
    count = 20_000
    write_tree(tmp_path, {f"class-{label:02}": 1 for label in range(20)})
    for folder in sorted(tmp_path.iterdir()):
        for number in range(1, count // 20):
            os.link(folder / "0.png", folder / f"photograph-{number:06}.png")
    tracemalloc.start()
    try:
        collection = load_collection(tmp_path)
        collection.train, collection.validation, collection.test  # noqa: B018
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(collection.everything) == count
    # Names of 31 bytes, twice: in the collection and in its parts.
    assert held / count < 150
    assert peak / count < 1000


def test_nothing_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_collection(tree(tmp_path, ""))
    assert not caplog.records
