"""Versions, configurations and the server itself change under load, and no request fails."""

import http.client
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    model_management_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.serving.server.conftest import Server, make_model
from tests.serving.server.running import running, until

# More for a longer run; the benchmark of endurance has 20.
SWAPS = int(os.environ.get("STN_TF_SWAPS", "6"))
CLIENTS = 2


class Clients:
    """Threads that ask over gRPC and REST without a pause; the first failure ends them all."""

    def __init__(self, server: Server, pictures: np.ndarray, expected: list[np.ndarray]) -> None:
        self._server = server
        self._pictures = pictures
        self._expected = expected
        self._done = threading.Event()
        self._failed: list[Exception] = []
        self._threads = [
            threading.Thread(target=self._run, args=(ask, place))
            for place, ask in enumerate([self._grpc, self._rest] * CLIENTS)
        ]
        self.versions: set[int] = set()
        self.answered = [0] * len(self._threads)
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """Raises what went wrong, if anything has."""
        if self._failed:
            raise self._failed[0]

    def go_on(self) -> None:
        """Waits until every client has had three more answers."""
        goals = [count + 3 for count in self.answered]

        def reached() -> bool:
            self.check()
            return all(map(int.__ge__, self.answered, goals))

        until(reached)

    def stop(self) -> None:
        """Waits for the answers to the last requests."""
        self._done.set()
        for thread in self._threads:
            thread.join()
        self.check()

    def _run(self, ask: Callable[[], Iterator[None]], place: int) -> None:
        try:
            for _ in ask():
                self.answered[place] += 1
                if self._done.is_set():
                    return
        except Exception as error:
            self._failed.append(error)
            self._done.set()

    def _grpc(self) -> Iterator[None]:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "small"
        request.inputs["images"].CopyFrom(tf.make_tensor_proto(self._pictures))
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{self._server.port}", options) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while True:
                answer = stub.Predict(request)
                version = answer.model_spec.version.value
                logits = tf.make_ndarray(answer.outputs["logits"])
                np.testing.assert_allclose(logits, self._expected[version % 2], atol=1e-4)
                self.versions.add(version)
                yield

    def _rest(self) -> Iterator[None]:
        body = json.dumps({"instances": self._pictures.tolist()})
        connection = http.client.HTTPConnection("127.0.0.1", self._server.rest_port)
        try:
            while True:
                connection.request("POST", "/v1/models/small:predict", body)
                answer = connection.getresponse()
                content = answer.read()
                assert answer.status == 200, content
                logits = [row["logits"] for row in json.loads(content)["predictions"]]
                assert any(np.allclose(logits, one, atol=1e-4) for one in self._expected)
                yield
        finally:
            connection.close()


@contextmanager
def _asked(server: Server, pictures: np.ndarray, expected: list[np.ndarray]) -> Iterator[Clients]:
    clients = Clients(server, pictures, expected)
    try:
        yield clients
    finally:
        clients.stop()


def _publish(base_path: Path, base: Path, number: int) -> None:
    """Odd versions are copies of the first model, even ones of the second."""
    shutil.copytree(base_path / str(2 - number % 2), base / ".aside").rename(base / str(number))


def _states(server: Server) -> dict[str, str]:
    found = server.call("/v1/models/small")[1]["model_version_status"]
    return {one["version"]: one["state"] for one in found}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--engine", "onnx"), marks=pytest.mark.slow),
        ("--engine", "onnx", "--enable_batching"),
        pytest.param(("--engine", "saved_model", "--enable_batching"), marks=pytest.mark.slow),
    ],
    ids=["onnx", "onnx-batched", "saved_model-batched"],
)
def test_no_request_fails(
    base_path: Path,
    tmp_path: Path,
    served_model: keras.Model,
    pictures: np.ndarray,
    options: tuple[str, ...],
) -> None:
    expected = [np.asarray(model(pictures)) for model in (make_model(2), served_model)]
    base = tmp_path / "small"
    _publish(base_path, base, 1)
    polled = ("--file_system_poll_wait_seconds", "0.02")
    drained = ("--drain_delay_seconds", "3600")  # Until a second SIGTERM.
    with (
        running(base, *options, *polled, *drained) as server,
        _asked(server, pictures, expected) as clients,
    ):
        clients.go_on()
        for number in range(2, SWAPS + 2):
            _publish(base_path, base, number)
            until(lambda number=number: _states(server).get(str(number)) == "AVAILABLE")
            until(lambda number=number: _states(server)[str(number - 1)] == "END")
            clients.go_on()
        assert clients.versions == set(range(1, SWAPS + 2))
        _reload(server, base, "other")
        clients.go_on()
        _reload(server, base)
        clients.go_on()
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.call("/readyz")[0] == 503)
        # Whoever has not heard of it yet is served.
        clients.go_on()


def _reload(server: Server, base: Path, *others: str) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    for name in ("small", *others):
        request.config.model_config_list.config.add(
            name=name, base_path=str(base), model_platform="tensorflow"
        )
    assert server.models.HandleReloadConfigRequest(request).status.error_code == 0
