"""Packing into TFRecord shards, and reading them: ours and foreign ones."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from stn_tf.data import Collection, load_collection
from stn_tf.data.pack import pack
from stn_tf.data.shards import INDEX
from stn_tf.data.tf_example import encode, frame
from stn_tf.errors import DataError
from tests.data.trees import write_tree


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train/zwölf": 9, "train/one": 7, "val/one": 3, "val/zwölf": 3, "test/one": 4}
    return write_tree(tmp_path_factory.mktemp("folder"), counts)


@pytest.fixture(scope="module")
def collection(folder: Path) -> Collection:
    return load_collection(folder)


@pytest.fixture(scope="module")
def packed(collection: Collection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "new" / "folder"
    done: list[None] = []
    result = pack(collection, out, shard_bytes=1000, on_image=lambda: done.append(None))
    assert result.folder == out
    assert result.images == len(done) == 26
    assert result.shards == len(list(out.glob("*.tfrecord")))
    assert result.bytes == sum(path.stat().st_size for path in out.iterdir())
    assert {path.name for path in out.parent.iterdir()} == {"folder"}
    return out


def same(one: Collection, other: Collection) -> None:
    assert one.classes == other.classes
    for name in ("train", "validation", "test", "everything"):
        first, second = getattr(one, name), getattr(other, name)
        assert list(first.names) == list(second.names)
        np.testing.assert_array_equal(first.labels, second.labels)
        for index in range(len(first)):
            assert first.open(index).read_bytes() == second.open(index).read()


def test_packed_images_are_those_of_the_folder(collection: Collection, packed: Path) -> None:
    read = load_collection(packed)
    same(collection, read)
    assert len(read.notes) == 1
    # And packed again.
    again = pack(read, packed.parent / "again", shard_bytes=10**9)
    assert again.shards == 3
    same(collection, load_collection(again.folder))
    shutil.rmtree(again.folder)


def test_tensorflow_reads_the_shards(collection: Collection, packed: Path) -> None:
    for part in ("train", "validation", "test"):
        files = sorted(str(path) for path in packed.glob(f"{part}-*.tfrecord"))
        assert files[-1].endswith(f"{part}-{len(files) - 1:05}-of-{len(files):05}.tfrecord")
        examples = [
            tf.train.Example.FromString(record).features.feature
            for record in tf.data.TFRecordDataset(files).as_numpy_iterator()
        ]
        found = {e["image/filename"].bytes_list.value[0].decode(): e for e in examples}
        own = getattr(collection, part)
        assert sorted(found) == sorted(own.names)
        assert [e["image/filename"].bytes_list.value[0].decode() for e in examples] != list(
            own.names
        )
        for index, name in enumerate(own.names):
            label = own.labels[index]
            assert found[name]["image/class/label"].int64_list.value == [label]
            text = found[name]["image/class/text"].bytes_list.value[0]
            assert text.decode() == collection.classes[label]
            content = own.open(index).read_bytes()
            assert found[name]["image/encoded"].bytes_list.value == [content]


def test_the_index_is_a_table_for_anybody(packed: Path) -> None:
    row = pq.read_table(packed / INDEX).slice(0, 1).to_pylist()[0]
    assert row["name"] == b"test/one/0.png"
    assert (row["class"], row["label"], row["split"]) == ("one", 0, "test")
    file = sorted(packed.glob("*.tfrecord"))
    assert row["file"] < len(file)


def test_shards_without_an_index_are_scanned_once(
    collection: Collection, packed: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(packed, copy)
    (copy / INDEX).unlink()
    first, second = load_collection(copy), load_collection(copy)
    assert first.notes[1].startswith("Scanned ")
    assert first.notes[1].endswith(f"files; {INDEX} is beside them now.")
    assert len(second.notes) == 1
    for read in (first, second):
        assert read.classes == collection.classes
        for part in ("train", "validation", "test"):
            assert set(getattr(read, part).names) == set(getattr(collection, part).names)
    # One file alone.
    file = next(copy.glob("train-*.tfrecord"))
    with pytest.raises(DataError, match=r"must have at least 3 readable images|two classes"):
        load_collection(file)


def test_changed_shards_are_scanned_again(
    packed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(packed, copy)
    next(copy.glob("train-*.tfrecord")).unlink()
    with caplog.at_level("WARNING"):
        assert len(load_collection(copy).everything) < 26
    assert "is of other files than are there now" in caplog.text
    (copy / INDEX).write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"cannot be read as an index .* Remove it, and they are"):
        load_collection(copy)


def foreign(path: Path, labels: list[int], **features: bytes | int) -> None:
    path.parent.mkdir(exist_ok=True)
    image = tf.io.encode_png(tf.zeros([2, 2, 3], tf.uint8)).numpy()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for label in labels:
            values = {"image/encoded": image, "image/class/label": label, **features}
            writer.write(encode(values))


def test_foreign_shards_by_their_names_and_folders(tmp_path: Path) -> None:
    # As TensorFlow's tools name them; labels begin at 1.
    foreign(tmp_path / "train-00000-of-00002", [1, 2, 2, 1, 1])
    foreign(tmp_path / "train-00001-of-00002", [2, 1])
    foreign(tmp_path / "Validation" / "a.tfrec", [1, 2])
    foreign(tmp_path / "Validation" / "b.tfrecords", [1])
    collection = load_collection(tmp_path)
    assert collection.classes == ("1", "2")
    assert [len(p) for p in (collection.train, collection.validation, collection.test)] == [
        5, 2, 3,
    ]  # fmt: skip
    assert "train-00000-of-00002#1" in set(collection.everything.names)


def test_foreign_names_that_are_not_unique_become_so(tmp_path: Path) -> None:
    foreign(tmp_path / "a.tfrecord", [0, 1, 1, 0, 0, 1], **{"image/filename": b"x.png"})
    foreign(tmp_path / "b.tfrecord", [0, 1])
    names = list(load_collection(tmp_path).everything.names)
    assert len(set(names)) == 8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image/encoded": b"x"}, r"a\.tfrecord .*: record 1 has no image/class/label\."),
        ({"image/class/label": 1}, r"record 1 has no image/encoded\. It needs"),
        ({"image/encoded": b"x", "image/class/label": b"cat"}, "record 1 has no image/class/label"),
        (None, r"record 1: it is no tf\.train\.Example"),
    ],
)
def test_foreign_records_exception_raised(
    values: dict[str, bytes | int] | None, message: str, tmp_path: Path
) -> None:
    record = b"\xff\xff" if values is None else encode(values)
    (tmp_path / "a.tfrecord").write_bytes(frame(record))
    with pytest.raises(DataError, match=message):
        load_collection(tmp_path)


def test_wrong_shards_exception_raised(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must hold TFRecord files .*stn-tf data pack"):
        load_collection(tmp_path, kind="tfrecord")
    (tmp_path / "a.tfrecord").write_bytes(b"")
    with pytest.raises(DataError, match=r"The 1 TFRecord files in .* hold no record"):
        load_collection(tmp_path)
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord"), "GZIP") as writer:
        writer.write(b"x")
    with pytest.raises(DataError, match=r"uncompressed TFRecord form: record 1: it is cut short"):
        load_collection(tmp_path)
    foreign(tmp_path / "a.tfrecord", [0, 1])
    foreign(tmp_path / "train.tfrecord", [0, 1])
    with pytest.raises(DataError, match=r"is half a split: a\.tfrecord are of no part"):
        load_collection(tmp_path)


def test_one_number_with_two_names_exception_raised(tmp_path: Path) -> None:
    for name in (b"cat", b"dog"):
        foreign(tmp_path / f"{name.decode()}.tfrecord", [0], **{"image/class/text": name})
    with pytest.raises(DataError, match="image/class/label 0 is 'dog' here and 'cat' before"):
        load_collection(tmp_path)
    foreign(tmp_path / "dog.tfrecord", [1], **{"image/class/text": b"cat"})
    with pytest.raises(DataError, match="has two numbers for one class"):
        load_collection(tmp_path)


def test_a_damaged_record_is_refused_when_read(packed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(packed, copy)
    train = load_collection(copy).train
    file, start, length, _ = train.store.places[5]
    with (copy / train.store.files[file]).open("r+b") as shard:
        shard.seek(start + length // 2)
        byte = shard.read(1)
        shard.seek(start + length // 2)
        shard.write(bytes([byte[0] ^ 1]))
    with pytest.raises(ValueError, match="has a wrong sum"):
        train.open(5)
    train.open(4)
    # Unreadable from the start, it is left out.
    again = load_collection(copy)
    assert any("Left out 1 images that cannot be read" in note for note in again.notes)


def test_pack_exception_raised(collection: Collection, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    with pytest.raises(DataError, match=r"there is there already\. Choose another folder with"):
        pack(collection, tmp_path / "there")
    with pytest.raises(DataError, match=r"cannot be written: "):
        pack(collection, tmp_path / "there" / "file" / "out")
    with pytest.raises(ValueError, match="`shard_bytes` must be at least 1"):
        pack(collection, tmp_path / "new", shard_bytes=0)
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    gone = load_collection(moved)
    (moved / "test" / "one" / "0.png").unlink()
    with pytest.raises(DataError, match=r"test/one/0\.png cannot be read: No such file"):
        pack(gone, tmp_path / "new")
    # Nothing half-written stays.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved", "there"]
    (tmp_path / "empty").mkdir()
    assert pack(collection, tmp_path / "empty").images == 26
