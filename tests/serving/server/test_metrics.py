"""The page of metrics, read with Prometheus's own parser."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from tensorflow_serving.apis import predict_pb2

from tests.pairs import every_pair
from tests.serving.server.conftest import Server
from tests.serving.server.running import running, until

PAGE = "/monitoring/prometheus/metrics"
PREDICT = "/v1/models/small:predict"
SAMPLE = re.compile(r'[a-zA-Z_:][\w:]*(\{(\w+="(\\.|[^"\\])*",?)*\})? \S+')


def read_page(server: Server) -> dict[str, Metric]:
    """The families of metrics by name; every line is checked."""
    status, text = server.call(PAGE)
    assert status == 200
    assert text.endswith("\n")
    seen = set()
    for line in text.splitlines():
        if not line.startswith(("# HELP ", "# TYPE ")):
            assert SAMPLE.fullmatch(line), line
            line, _ = line.rsplit(" ", 1)
        else:
            line = " ".join(line.split()[1:3])
        # No family and no series twice.
        assert line not in seen
        seen.add(line)
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], family: str, suffix: str = "", **labels: str) -> float:
    """The only sample with these labels, if not more."""
    (found,) = [
        sample.value
        for sample in families[family].samples
        if sample.name == family + suffix and labels.items() <= sample.labels.items()
    ]
    return found


def _ask(server: Server, pictures: np.ndarray, signature: str = "") -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "small", signature
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(pictures))
    server.predictions.Predict(request)


def test_known_names(base_path, pictures):
    with running(base_path) as server:
        _ask(server, pictures)
        for _ in range(2):
            assert server.call(PREDICT, {"instances": []})[0] == 400
        assert server.call("/v1/models/x:predict", {"instances": [1]})[0] == 404
        page = read_page(server)
        _, text = server.call(PAGE)
    count = ":tensorflow:serving:request_count"
    for line in (
        f'{count}{{model_name="small",status="OK"}} 1',
        f'{count}{{model_name="small",status="INVALID_ARGUMENT"}} 2',
        f'{count}{{model_name="",status="NOT_FOUND"}} 1',
    ):
        assert re.search(rf"^{re.escape(line)}(\.0)?$", text, re.MULTILINE), line
    latency = {"model_name": "small", "API": "Predict"}
    family = ":tensorflow:serving:request_latency"
    assert value(page, family, "_count", **latency, entrypoint="GRPC") == 1
    assert value(page, family, "_count", **latency, entrypoint="REST") == 2
    bounds = [
        float(sample.labels["le"])
        for sample in page[family].samples
        if sample.labels.get("entrypoint") == "GRPC" and "le" in sample.labels
    ]
    np.testing.assert_allclose(bounds, [*(10 * 1.8**k for k in range(20)), np.inf])


NAMES = {"onnx": "ONNX Runtime", "saved_model": "TensorFlow"}


@pytest.mark.slow
@every_pair(together=1, engine=[*NAMES], batching=[(), ("--enable_batching",)])
def test_the_runtime_has_its_name(base_path, pictures, engine, batching):
    name = NAMES[engine]
    with running(base_path, "--engine", engine, *batching) as server:
        _ask(server, pictures)
        page = read_page(server)
    runtime = ":tensorflow:serving:runtime_latency"
    assert value(page, runtime, "_count", model_name="small", API="Predict", runtime=name) == 1
    labels = {"model_name": "small", "version": "3", "signature": "serving_default"}
    assert value(page, "stn_tf_run_seconds", "_count", **labels) == 1
    assert value(page, "stn_tf_run_seconds", "_sum", **labels) > 0


def test_batches(base_path, tmp_path, pictures):
    file = tmp_path / "batching.config"
    # Batches wait until they are full: of 16 rows, or before a request that does not fit in.
    file.write_text(
        "max_batch_size { value: 16 } batch_timeout_micros { value: 1000000000 } "
        "allowed_batch_sizes: 12 allowed_batch_sizes: 16"
    )
    options = ("--enable_batching", "--batching_parameters_file", file)
    labels = {"model_name": "small", "version": "3", "signature": "localize"}
    with running(base_path, *options, "--enable_model_warmup", "false") as server:
        with ThreadPoolExecutor(4) as pool:
            asked = []
            for rows, waiting in ((3, 3), (3, 6), (4, 10), (16, None)):
                batch = np.resize(pictures, (rows, *pictures.shape[1:]))
                asked.append(pool.submit(_ask, server, batch, "localize"))
                if waiting is not None:
                    until(lambda rows=waiting: _waiting(server, labels) == rows)
            for one in asked:
                one.result()
        page = read_page(server)
    assert value(page, "stn_tf_queue_rows", **labels) == 0
    assert value(page, "stn_tf_batch_rows", "_count", **labels) == 2
    assert value(page, "stn_tf_batch_rows", "_sum", **labels) == 10 + 16
    assert value(page, "stn_tf_batch_padding_rows", "_total", **labels) == 2
    assert value(page, "stn_tf_queue_seconds", "_count", **labels) == 4
    assert value(page, "stn_tf_queue_seconds", "_sum", **labels) > 0
    assert value(page, "stn_tf_batch_compute_seconds", "_count", **labels) == 2
    assert value(page, "stn_tf_run_seconds", "_count", **labels) == 4


def test_batches_that_warm_up_are_not_counted(base_path, pictures):
    with running(base_path, "--enable_batching") as server:
        _ask(server, pictures)
        page = read_page(server)
    assert value(page, "stn_tf_batch_rows", "_sum") == 3


def _waiting(server: Server, labels: dict[str, str]) -> float:
    return value(read_page(server), "stn_tf_queue_rows", **labels)


def test_states_and_loads_of_versions(base_path, tmp_path, pictures):
    base = tmp_path / "small"
    shutil.copytree(base_path / "1", base / "1")
    with running(base, "--file_system_poll_wait_seconds", "0.05") as server:
        _ask(server, pictures)
        page = read_page(server)
        labels = {"model_name": "small", "version": "1"}
        assert value(page, "stn_tf_model_version_state", **labels, state="AVAILABLE") == 1
        assert 0 < value(page, "stn_tf_model_load_seconds", **labels) < 120
        assert value(page, "stn_tf_run_seconds", "_count", **labels) == 1
        _publish(base_path, base, 2)
        until(lambda: _versions(server, "stn_tf_model_load_seconds") == {"2"})
        page = read_page(server)
        assert value(page, "stn_tf_model_version_state", version="2") == 1
        # What has gone leaves nothing behind; what has happened to the model stays.
        assert "1" not in {
            sample.labels.get("version") for family in page.values() for sample in family.samples
        }
        count = ":tensorflow:serving:request_count"
        assert [sample.value for sample in page[count].samples] == [1]


def _publish(base_path: Path, base: Path, version: int) -> None:
    shutil.copytree(base_path / "1", base / ".aside").rename(base / str(version))


def _versions(server: Server, family: str) -> set[str]:
    return {sample.labels["version"] for sample in read_page(server)[family].samples}
