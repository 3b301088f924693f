"""A server in a process of its own, and clients that are not ours."""

import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import keras
import numpy as np
import pytest
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from stn_tf.export import export_model
from stn_tf.layers import SpatialTransformer

SIZE = (9, 8, 1)
CLASSES = ("0", "1", "2")


def make_model(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    images = keras.Input(SIZE, name="images")
    localisation = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4, "relu")])
    crops = SpatialTransformer(localisation, "attention", (5, 5))(images)
    return keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(crops)))


@dataclasses.dataclass
class Server:
    """A running `stn-tf serve`."""

    process: subprocess.Popen
    port: int
    rest_port: int

    def __post_init__(self) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self.predictions = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def call(self, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, Any]:
        """A GET, or a POST of JSON or bytes; the status and the JSON or text of the answer."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.rest_port}{path}", data, {"Content-Type": kind}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                status, content = error.code, error.read()
        try:
            return status, json.loads(content)
        except ValueError:
            return status, content.decode()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit status."""
        self.channel.close()
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


def start(*arguments: str | Path) -> Server:
    command = [sys.executable, "-W", "ignore", "-m", "stn_tf.cli.main", "serve"]
    command += ["--host", "127.0.0.1", "--port", "0", "--rest_api_port", "0"]
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        ports = re.match(r"Serving gRPC on port (\d+), REST on port (\d+)", line)
        if ports:
            return Server(process, int(ports[1]), int(ports[2]))
    process.communicate()
    raise AssertionError("".join(seen))


@pytest.fixture(scope="session")
def served_model() -> keras.Model:
    return make_model(1)


@pytest.fixture(scope="session")
def base_path(tmp_path_factory: pytest.TempPathFactory, served_model: keras.Model) -> Path:
    out = tmp_path_factory.mktemp("served") / "small"
    for model in (served_model, make_model(2)):
        export_model(model, out, classes=CLASSES, input_range=(0, 1))
    shutil.copytree(out / "1", out / "3")
    return out


@pytest.fixture(scope="session", params=["onnx", "saved_model"])
def server(request: pytest.FixtureRequest, base_path: Path) -> Iterator[Server]:
    found = start(base_path, "--engine", request.param, "--enable_batching")
    yield found
    assert found.stop() == 0


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(3, *SIZE)).astype(np.float32)
