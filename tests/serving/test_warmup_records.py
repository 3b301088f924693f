"""TFRecord files without TensorFlow, and the requests in them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from stn_tf.errors import ModelError
from stn_tf.serving.models import warmup_records
from stn_tf.serving.models.servable import load_servable
from stn_tf.serving.models.warmup_records import WARMUP_FILE, crc32c, read_records, warm_up


def crc_by_bits(content: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_crc32c_preset() -> None:
    # The check value of the algorithm, and RFC 3720, B.4.
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


@given(st.binary(max_size=300))
def test_crc32c_random(content: bytes) -> None:
    assert crc32c(content) == crc_by_bits(content)


def test_records_are_what_tensorflow_wrote(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    records = [rng.bytes(n) for n in (0, 1, 2, 3, 4, 5, 15, 16, 17, 100_001)]
    with tf.io.TFRecordWriter(str(tmp_path / "records")) as writer:
        for record in records:
            writer.write(record)
    assert list(read_records(tmp_path / "records")) == records


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


@pytest.mark.parametrize("engine", ["onnx", "saved_model"])
def test_warm_up_replays_every_signature(model_dir: Path, engine: str) -> None:
    servable = load_servable(model_dir / "1", engine)
    called, run = [], servable.run

    def record(signature: str, *arguments: object) -> dict[str, np.ndarray]:
        called.append(signature)
        return run(signature, *arguments)  # type: ignore[arg-type]

    servable.run = record  # type: ignore[method-assign, assignment]
    assert warm_up(servable) == len(called)
    assert set(called) == set(servable.signatures)


def test_warm_up_without_a_file_does_nothing(model_dir: Path, tmp_path: Path) -> None:
    shutil.copy(model_dir / "1" / "model.onnx", tmp_path)
    assert warm_up(load_servable(tmp_path)) == 0


def test_warm_up_with_a_wrong_request_exception_raised(model_dir: Path, tmp_path: Path) -> None:
    shutil.copy(model_dir / "1" / "model.onnx", tmp_path)
    (tmp_path / WARMUP_FILE).parent.mkdir()
    shutil.copy(model_dir / "1" / WARMUP_FILE, tmp_path / WARMUP_FILE)
    with pytest.raises(ModelError, match=r'fails: Serving signature key "localize" not found\.$'):
        warm_up(load_servable(tmp_path))
    with tf.io.TFRecordWriter(str(tmp_path / WARMUP_FILE)) as writer:
        writer.write(b"\xff no log")
    with pytest.raises(ModelError, match=r"^Request 1 of `.*` fails: "):
        warm_up(load_servable(tmp_path))


def test_warm_up_with_too_many_requests_exception_raised(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warmup_records, "MAX_RECORDS", 3)
    with pytest.raises(ModelError, match="holds more than 3 requests"):
        warm_up(load_servable(model_dir / "1"))
