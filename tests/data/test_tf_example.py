"""TFRecord files and Examples, against TensorFlow's own."""

import io
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from stn_tf.data.tf_example import Piece, decode, encode, frame, records, unframe

VALUES = st.dictionaries(
    st.text(max_size=5), st.binary(max_size=300) | st.integers(-(2**63), 2**63 - 1), max_size=5
)


def ours(record: bytes) -> dict[str, bytes | int]:
    return {
        name: value.of(record) if isinstance(value, Piece) else value
        for name, value in decode(record).items()
    }


@given(VALUES)
def test_tensorflow_reads_what_we_write(values: dict[str, bytes | int]) -> None:
    record = encode(values)
    features = tf.train.Example.FromString(record).features.feature
    assert {
        name: feature.bytes_list.value[0]
        if feature.HasField("bytes_list")
        else feature.int64_list.value[0]
        for name, feature in features.items()
    } == values
    assert ours(record) == values


@given(VALUES)
def test_we_read_what_tensorflow_writes(values: dict[str, bytes | int]) -> None:
    example = tf.train.Example()
    for name, value in values.items():
        feature = example.features.feature[name]
        if isinstance(value, bytes):
            feature.bytes_list.value.extend([value, b"second"])
        else:
            feature.int64_list.value.extend([value, 7])
    # Such are left out.
    example.features.feature["floats, last"].float_list.value.extend([1.0, 2.0])
    example.features.feature["nothing, last"].SetInParent()
    example.features.feature["empty, last"].bytes_list.SetInParent()
    assert ours(example.SerializeToString()) == values


def test_integers_that_are_not_packed() -> None:
    # Feature { int64_list: Int64List { value: 5 } } with the value as a field of its own.
    feature = b"\x1a\x02\x08\x05"
    entry = b"\x0a\x01a\x12" + bytes([len(feature)]) + feature
    features = b"\x0a" + bytes([len(entry)]) + entry
    record = b"\x0a" + bytes([len(features)]) + features
    assert tf.train.Example.FromString(record).features.feature["a"].int64_list.value[0] == 5
    assert ours(record) == {"a": 5}


@given(st.binary(max_size=60), VALUES, st.data())
def test_damaged_examples_raise_nothing_else(
    noise: bytes, values: dict[str, bytes | int], data: st.DataObject
) -> None:
    record = bytearray(encode(values))
    if record:
        at = data.draw(st.integers(0, len(record) - 1))
        record[at : at + 3] = noise[:3]
    for damaged in (noise, bytes(record)):
        try:
            found = decode(damaged)
        except ValueError:
            continue
        for value in found.values():
            assert not isinstance(value, Piece) or 0 <= value.start <= value.stop <= len(damaged)


def test_frames_are_those_of_tensorflow(tmp_path: Path) -> None:
    contents = [b"", b"a", bytes(range(256)) * 40]
    (tmp_path / "ours").write_bytes(b"".join(map(frame, contents)))
    assert list(tf.data.TFRecordDataset(str(tmp_path / "ours")).as_numpy_iterator()) == contents
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for content in contents:
            writer.write(content)
    assert (tmp_path / "theirs").read_bytes() == (tmp_path / "ours").read_bytes()
    with (tmp_path / "theirs").open("rb") as file:
        found = list(records(file))
    assert [record for _, record in found] == contents
    assert [start for start, _ in found] == [0, 16, 33]


@pytest.mark.parametrize("at", [0, 9, 12, 14, -1])
def test_damaged_frames_exception_raised(at: int) -> None:
    framed = bytearray(frame(b"record"))
    framed[at] ^= 1
    with pytest.raises(ValueError, match="cut short or has a wrong sum"):
        unframe(bytes(framed))
    with pytest.raises(ValueError, match="record 2: it is cut short or has a wrong sum"):
        list(records(io.BytesIO(frame(b"first") + bytes(framed))))
    with pytest.raises(ValueError, match="cut short"):
        unframe(frame(b"record")[:-2])
