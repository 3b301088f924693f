"""Requests in a version directory, replayed when it is loaded."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ModelError
from stn_tf.serving.models import warmup_records
from stn_tf.serving.models.servable import load_servable
from stn_tf.serving.models.warmup_records import WARMUP_FILE, warm_up


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
