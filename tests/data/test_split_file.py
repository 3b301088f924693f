"""The split that is kept with a run."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from stn_tf.data import Collection, load_collection, read_split, write_split
from stn_tf.errors import DataError
from tests.data.trees import write_image, write_tree


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return load_collection(write_tree(tmp_path / "images", {'cat, "tabby"': 10, "dög": 10}))


@pytest.mark.parametrize("name", ["split.csv", "split.csv.gz"])
def test_the_very_same_split(name: str, collection: Collection, tmp_path: Path) -> None:
    path = tmp_path / name
    write_split(collection, path)
    # Other shares now, another order of classes, and more images.
    write_image(collection.root / "dög" / "new.png", 99)
    now = load_collection(
        collection.root, validation_share=0.3, test_share=0.3, classes=collection.classes[::-1]
    )
    assert set(now.test.names) != set(collection.test.names)
    again = read_split(now, path)
    assert again.classes == collection.classes
    for part in ("train", "validation", "test"):
        one, other = getattr(collection, part), getattr(again, part)
        assert list(one.names) == list(other.names)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.open(1) == other.open(1)
    assert again.notes[1:] == (
        f"The split is that of {path}.",
        "Left out 1 images that are new since then: dög/new.png.",
    )
    write_split(again, tmp_path / f"again-{name}")
    assert (tmp_path / f"again-{name}").read_bytes() == path.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_the_file_is_plain(collection: Collection, tmp_path: Path) -> None:
    write_split(collection, tmp_path / "split.csv")
    write_split(collection, tmp_path / "split.csv.gz")
    text = (tmp_path / "split.csv").read_text(encoding="utf-8")
    assert gzip.decompress((tmp_path / "split.csv.gz").read_bytes()).decode() == text
    lines = text.splitlines()
    assert lines[0] == "name,part,label,class"
    assert len(lines) == 21
    assert lines[11].startswith("dög/0.png,")
    assert lines[11].endswith(",1,dög")


def test_changed_images_exception_raised(collection: Collection, tmp_path: Path) -> None:
    write_split(collection, tmp_path / "split.csv")
    root = collection.root
    (root / "dög" / "0.png").rename(root / "dög" / "other.png")
    with pytest.raises(DataError, match=r"1 images of the run are not in .*: dög/0\.png\. Put"):
        read_split(load_collection(root), tmp_path / "split.csv")
    text = (tmp_path / "split.csv").read_text()
    (tmp_path / "split.csv").write_text(text.replace("dög/0.png", "dög/other.png"))
    read_split(load_collection(root), tmp_path / "split.csv")
    (tmp_path / "split.csv").write_text(
        text.replace("dög/0.png", "dög/1.png").replace(",dög", ",x")
    )
    with pytest.raises(DataError, match=r"10 images .* another class in .*\(was x, is dög\)"):
        read_split(load_collection(root), tmp_path / "split.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"a,b\n", "its first line is another"),
        (b"name,part,label,class\nx,y\n", ""),
        (b"name,part,label,class\nx,trian,0,cat\n", ""),
        (b"name,part,label,class\nx,train,1,cat\n", "classes are missing"),
        (b"\xff", ""),
        (None, "No such file"),
    ],
)
def test_no_split_exception_raised(
    content: bytes | None, message: str, collection: Collection, tmp_path: Path
) -> None:
    path = tmp_path / "split.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"The split .*split.csv cannot be read: .*{message}"):
        read_split(collection, path)


def test_names_that_are_no_text_exception_raised(tmp_path: Path) -> None:
    write_tree(tmp_path / "images", {"cat": 4, "dog": 4})
    (tmp_path / "images" / "cat" / "0.png").rename(tmp_path / "images" / "cat" / "\udcff.png")
    collection = load_collection(tmp_path / "images")
    assert len(collection.everything) == 8
    with pytest.raises(DataError, match="must be UTF-8, but it is not"):
        write_split(collection, tmp_path / "split.csv")
