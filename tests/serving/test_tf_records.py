"""TFRecord files without TensorFlow, against TensorFlow's own."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ModelError
from stn_tf.serving.models.tf_records import framed, read_records

RECORDS = [np.random.default_rng(n).bytes(n) for n in (0, 1, 2, 3, 4, 5, 15, 16, 17, 100_001)]


def test_records_are_what_tensorflow_wrote(tmp_path: Path) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "records")) as writer:
        for record in RECORDS:
            writer.write(record)
    assert list(read_records(tmp_path / "records")) == RECORDS


def test_tensorflow_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_bytes(b"".join(map(framed, RECORDS)))
    assert list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()) == RECORDS


def test_damaged_records_exception_raised(tmp_path: Path) -> None:
    path = tmp_path / "records"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in (b"first", b"second record"):
            writer.write(record)
    content = path.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 4
        path.write_bytes(changed)
        with pytest.raises(ModelError, match=r"record [12] is cut short or has a wrong sum"):
            list(read_records(path))
    first = 8 + 4 + len(b"first") + 4
    for length in range(1, len(content)):
        if length != first:
            path.write_bytes(content[:length])
            with pytest.raises(ModelError, match="is damaged"):
                list(read_records(path))
