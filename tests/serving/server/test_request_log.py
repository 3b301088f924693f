"""`--request_log`: what was asked and answered, in files that versions can be warmed up with."""

import io
import json
import re
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from stn_tf.serving.models.model_config import LoggingConfig, ModelConfig
from stn_tf.serving.models.servable import load_servable
from stn_tf.serving.models.store import ModelStore
from stn_tf.serving.models.warmup_records import WARMUP_FILE, warm_up
from stn_tf.serving.server.metrics import Metrics
from stn_tf.serving.server.record_files import FileLimits, RecordFiles
from stn_tf.serving.server.request_log import RequestLog
from tests.serving.server.conftest import Server
from tests.serving.server.running import refused, running, until

PREDICT = "/v1/models/small:predict"


def _request(pictures: np.ndarray, signature: str = "") -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "small", signature
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(pictures))
    return request


def _logs(*paths: Path) -> list[prediction_log_pb2.PredictionLog]:
    records = tf.data.TFRecordDataset([str(path) for path in paths]).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record) for record in records]


def _count(server: Server, outcome: str, model: str = "small") -> float:
    labels = rf'\{{model_name="{model}",outcome="{outcome}"\}}'
    _, text = server.call("/monitoring/prometheus/metrics")
    found = re.search(rf"stn_tf_request_log_records_total{labels} (\S+)", text)
    return float(found[1]) if found else 0


def _same(message: Any, arrays: dict[str, Any]) -> None:
    assert set(message) == set(arrays)
    for name, value in arrays.items():
        np.testing.assert_array_equal(tf.make_ndarray(message[name]), tf.make_ndarray(value))


def test_predict_over_grpc_is_logged_and_replayed(base_path, tmp_path, pictures):
    log = tmp_path / "log"
    request = _request(pictures, "rectify")
    filtered = _request(pictures)
    filtered.output_filter.append("logits")
    with running(base_path, "--request_log", log) as server:
        answers = [server.predictions.Predict(one) for one in (request, filtered)]
        with pytest.raises(Exception, match="not found"):
            server.predictions.Predict(_request(pictures, "nothing"))
    (path,) = log.iterdir()
    assert path.name == "small-000001.tfrecord"
    logs = _logs(path)
    for one, answer, name in zip(logs, answers, ["rectify", "serving_default"], strict=True):
        asked, answered = one.predict_log.request, one.predict_log.response
        _same(asked.inputs, request.inputs)
        _same(answered.outputs, answer.outputs)
        spec = one.log_metadata.model_spec
        assert (spec.name, spec.version.value, spec.signature_name) == ("small", 3, name)
        assert asked.model_spec == answered.model_spec == answer.model_spec == spec
        assert one.log_metadata.sampling_config.sampling_rate == 1
        assert one.log_metadata.timestamp_secs > 1.7e9
    assert list(logs[1].predict_log.request.output_filter) == ["logits"]

    shutil.copytree(base_path / "3", tmp_path / "warm" / "1")
    shutil.copy(path, tmp_path / "warm" / "1" / WARMUP_FILE)
    for engine in ("onnx", "saved_model"):
        servable = load_servable(tmp_path / "warm" / "1", engine)
        assert warm_up(servable) == 2
        servable.close()
    with running(tmp_path / "warm") as server:
        assert server.call("/v1/models/warm")[0] == 200
    whole = path.read_bytes()
    (tmp_path / "warm" / "1" / WARMUP_FILE).write_bytes(whole.replace(b"images", b"pixels"))
    assert "is damaged" in refused(tmp_path / "warm")


def test_rest_is_logged(base_path, tmp_path, pictures):
    file = io.BytesIO()
    np.save(file, pictures)
    png = tf.io.encode_png(np.uint8(pictures[0] * 255)).numpy()
    with running(base_path, "--request_log", tmp_path) as server:
        server.call(PREDICT, {"instances": pictures.tolist()})
        server.call(PREDICT, file.getvalue(), "application/x-npy")
        _, answer = server.call(PREDICT, png, "image/png")
    logs = [one.predict_log for one in _logs(*tmp_path.iterdir())]
    for log in logs[:2]:
        np.testing.assert_array_equal(tf.make_ndarray(log.request.inputs["images"]), pictures)
        assert set(log.response.outputs) == {"logits", "probabilities", "class"}
    # What the answer to a picture is made of, as requests of their own.
    names = [log.request.model_spec.signature_name for log in logs[2:]]
    assert names == ["serving_default", "localize"]
    (row,) = answer["predictions"]
    logged = {name: value for log in logs[2:] for name, value in log.response.outputs.items()}
    np.testing.assert_allclose(tf.make_ndarray(logged["theta"])[0], row["theta"], rtol=1e-6)


def test_files_are_rolled_and_the_oldest_go(base_path, tmp_path, pictures):
    options = ("--request_log_file_bytes", "5000", "--request_log_files", "3")
    with running(base_path, "--request_log", tmp_path, *options) as server:
        for _ in range(30):
            assert server.call(PREDICT, {"instances": pictures.tolist()})[0] == 200
        until(lambda: _count(server, "written") == 30)
    found = sorted(tmp_path.iterdir())
    assert len(found) == 3
    assert found[0].name != "small-000001.tfrecord"
    assert all(0 < path.stat().st_size <= 5000 for path in found)
    assert all(_logs(path) for path in found)
    # A server that comes later begins a file of its own.
    with running(base_path, "--request_log", tmp_path) as server:
        assert server.call(PREDICT, {"instances": pictures.tolist()})[0] == 200
    assert len(_logs(max(tmp_path.iterdir()))) == 1


def test_a_file_is_never_too_long_to_warm_up_with(tmp_path):
    files = RecordFiles(tmp_path / "m", FileLimits())
    for _ in range(1001):
        files.write(b"record")
    files.close()
    found = [len(list(tf.data.TFRecordDataset(str(p)))) for p in sorted(tmp_path.iterdir())]
    assert found == [1000, 1]


def test_a_full_disk_costs_no_answer(base_path, tmp_path, pictures):
    body = json.dumps({"instances": pictures.tolist()}).encode()
    with running(base_path, "--request_log", tmp_path) as server:
        assert server.call(PREDICT, body)[0] == 200
        until(lambda: _count(server, "written") == 1)
        (path,) = tmp_path.iterdir()
        before = path.read_bytes()
        # Files of this process cannot grow any more, in the middle of the next record.
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        full = (len(before) + 100, limits[1])
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, full)
        for _ in range(3):
            assert server.call(PREDICT, body)[0] == 200
        until(lambda: _count(server, "failed") == 3)
        assert path.read_bytes() == before
        line = server.process.stderr.readline()
        assert line == f"The request log {tmp_path}/small-* cannot be written: File too large\n"
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, limits)
        assert server.call(PREDICT, body)[0] == 200
        until(lambda: _count(server, "written") == 2)
        assert path.read_bytes().startswith(before)
        assert len(_logs(path)) == 2
        server.process.terminate()
        # It was said once: nothing is left.
        assert server.process.communicate(timeout=120)[1] == ""


def test_a_folder_that_goes_costs_no_answer(base_path, tmp_path, pictures):
    folder = tmp_path / "log"
    body = json.dumps({"instances": pictures.tolist()}).encode()
    with running(base_path, "--request_log", folder) as server:
        assert server.call(PREDICT, body)[0] == 200
        until(lambda: _count(server, "written") == 1)
        shutil.rmtree(folder)
        for _ in range(2):
            assert server.call(PREDICT, body)[0] == 200
        until(lambda: _count(server, "failed") == 2)
        line = server.process.stderr.readline()
        assert line.endswith("small-* cannot be written: No such file or directory\n")
        folder.mkdir()
        assert server.call(PREDICT, body)[0] == 200
        until(lambda: _count(server, "written") == 2)
        assert len(_logs(*folder.iterdir())) == 1


def test_sampling(base_path, tmp_path, pictures):
    options = ("--request_log", tmp_path, "--request_log_sampling", "0.5")
    request = _request(pictures[:1])
    with running(base_path, *options) as server:
        for _ in range(200):
            server.predictions.Predict(request)
    logs = _logs(*tmp_path.iterdir())
    # Beyond seven standard deviations.
    assert 50 < len(logs) < 150
    assert {one.log_metadata.sampling_config.sampling_rate for one in logs} == {0.5}


def test_the_configuration_of_a_model(base_path, tmp_path, pictures):
    config = tmp_path / "models.config"
    logging = f'log_collector_config {{ type: "" filename_prefix: "{tmp_path}/own" }}'
    models = [
        f'name: "own" logging_config {{ {logging} sampling_config {{ sampling_rate: 1 }} }}',
        'name: "never" logging_config { sampling_config { sampling_rate: 0 } }',
        'name: "as/given"',
    ]
    text = " ".join(f'config {{ {one} base_path: "{base_path}" }}' for one in models)
    config.write_text(f"model_config_list {{ {text} }}")
    log = tmp_path / "log"
    with running("--model_config_file", config, "--request_log", log) as server:
        request = _request(pictures)
        for name in ("own", "never", "as/given"):
            request.model_spec.name = name
            server.predictions.Predict(request)
    assert [path.name for path in log.iterdir()] == ["as%2Fgiven-000001.tfrecord"]
    (own,) = _logs(*tmp_path.glob("own*"))
    assert own.predict_log.request.model_spec.name == "own"


def test_a_folder_that_cannot_be_is_refused(base_path, tmp_path):
    (tmp_path / "file").touch()
    line = refused(base_path, "--request_log", tmp_path / "file" / "log")
    assert "`--request_log` must name a folder, but" in line
    assert "Not a directory" in line


def test_what_the_queue_cannot_hold_is_lost(base_path, tmp_path):
    metrics = Metrics()
    store = ModelStore()
    store.reload([ModelConfig("small", base_path, logging=LoggingConfig(tmp_path / "m"))])
    log = RequestLog(metrics, limits=FileLimits(file_bytes=1, files=1))
    large = {"images": np.ones(24 * 2**20 // 4, np.float32)}
    with store.acquire("small") as held:
        for _ in range(50):
            log.predict(held, "serving_default", large, (), {})
    log.close()
    store.close()
    line = r'log_records_total\{model_name="small",outcome="(\w+)"\} (\S+)'
    found = {name: float(count) for name, count in re.findall(line, metrics.text().decode())}
    assert found["queue_full"] > 0
    assert found["written"] > 0
    assert sum(found.values()) == 50
