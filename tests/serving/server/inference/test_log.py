"""Classify, Regress and MultiInference in the request log."""

import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from stn_tf.serving.models.servable import load_servable
from stn_tf.serving.models.warmup_records import WARMUP_FILE, warm_up
from tests.serving.server.inference.models import CLASSIFY, REGRESS
from tests.serving.server.inference.requests import ONE_AND_FOUR, ask, multi
from tests.serving.server.running import running


@pytest.mark.slow
def test_examples_are_logged_and_replayed(config: Path, tmp_path: Path) -> None:
    request = multi(("one", "sizes", CLASSIFY), ("one", "line", REGRESS))
    with running("--model_config_file", config, "--request_log", tmp_path) as server:
        classes = ask(server, "Classify", "one", version=1)
        numbers = ask(server, "Regress", "one", "line")
        both = server.predictions.MultiInference(request)
        body = {"signature_name": "line", "examples": [{"x": 1.0}]}
        assert server.call("/v1/models/one:regress", body)[0] == 200
    (path,) = tmp_path.iterdir()
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    kinds = [log.WhichOneof("log_type") for log in logs]
    assert kinds == ["classify_log", "regress_log", "multi_inference_log", "regress_log"]
    first, second, third, fourth = (
        getattr(log, kind) for log, kind in zip(logs, kinds, strict=True)
    )
    assert (first.request.input, first.response) == (ONE_AND_FOUR, classes)
    assert (second.request.input, second.response) == (ONE_AND_FOUR, numbers)
    assert (third.request, third.response) == (request, both)
    assert fourth.response.result.regressions[0].value == 2.5
    assert [log.log_metadata.model_spec.version.value for log in logs] == [1, 2, 2, 2]
    assert first.request.model_spec == first.response.model_spec

    shutil.copytree(config.parent / "one" / "1", tmp_path / "version")
    (tmp_path / "version" / WARMUP_FILE).parent.mkdir(exist_ok=True)
    shutil.copy(path, tmp_path / "version" / WARMUP_FILE)
    servable = load_servable(tmp_path / "version", "saved_model")
    assert warm_up(servable) == 4
    servable.close()
