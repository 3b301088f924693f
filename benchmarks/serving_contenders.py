"""The servers of `serving.py`, the model that they serve, and the bodies that they are sent."""

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from serving_load import HttpConnection

from stn_tf.libraries import onnxruntime_library
from stn_tf.serving.protocol import json_writer, wire

SIZES = {"28x28x1": (28, 28, 1), "224x224x3": (224, 224, 3)}
OUTPUTS = ["logits", "probabilities", "class"]
START_SECONDS = 120.0
_HERE = Path(__file__).parent


def export_models(folder: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Exports a network with a transformer for images of each size; returns their folders."""
    import keras
    from inference_networks import attention_224

    from stn_tf.export import export_model
    from stn_tf.layers import SpatialTransformer

    def small() -> keras.Model:
        images = keras.Input(SIZES["28x28x1"], name="images")
        localisation = keras.Sequential(
            [keras.layers.AveragePooling2D(2), keras.layers.Flatten(), keras.layers.Dense(16)]
        )
        crops = SpatialTransformer(localisation, "affine")(images)
        features = keras.layers.Conv2D(8, 5, strides=2, activation="relu")(crops)
        return keras.Model(images, keras.layers.Dense(10)(keras.layers.Flatten()(features)))

    networks = {"28x28x1": small, "224x224x3": attention_224}
    for name in names:
        keras.utils.set_random_seed(1)
        model = networks[name]()
        classes = [str(number) for number in range(model.output_shape[-1])]
        export_model(model, folder / name, classes=classes, input_range=(0, 1))
    return {name: folder / name for name in names}


@dataclass(frozen=True)
class Body:
    """What is sent: `kind` is a content type, or `gRPC`."""

    name: str
    kind: str
    data: bytes


def tensor_bodies(model: str, batch: int) -> dict[str, Body]:
    """The bodies of a batch of images."""
    images = np.random.default_rng(0).random((batch, *SIZES[model]), np.float32)
    call = wire.PredictCall(model, None, None, "", {"images": images}, ())
    npy = io.BytesIO()
    np.save(npy, images)
    text = json_writer.write({"instances": json_writer.tensor("images", images)})
    bodies = [
        Body("gRPC, float_val", "gRPC", wire.write_request(call)),
        Body("gRPC, tensor_content", "gRPC", wire.write_request(call, typed=False)),
        Body("npy", "application/x-npy", npy.getvalue()),
        Body("JSON", "application/json", text),
        Body("raw", "application/octet-stream", images.tobytes()),
    ]
    return {body.name: body for body in bodies}


def picture_body(model: str) -> Body:
    """A JPEG file of a smooth picture, as photographs are."""
    height, width, channels = SIZES[model]
    y, x = np.mgrid[:height, :width] / height
    waves = [np.sin(7 * x + 5 * y * k) + np.cos(9 * y - 4 * x * k) for k in range(1, channels + 1)]
    pixels = (np.stack(waves, -1) * 60 + 128).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(file, "JPEG", quality=90)
    return Body("JPEG", "image/jpeg", file.getvalue())


class Server:
    """A running server.

    Attributes:
        name: Who it is.
        ports: By `gRPC` and `HTTP`.
    """

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self.ports: dict[str, int] = {}
        self._log = log
        with log.open("w") as file:
            self._process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )

    def wait(self, ready: Callable[[str], bool]) -> None:
        """Waits until `ready` is true of its log."""
        end = time.monotonic() + START_SECONDS
        while not ready(self._log.read_text()):
            if time.monotonic() > end or self._process.poll() is not None:
                self.stop()
                raise RuntimeError(f"{self.name} did not start:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.2)

    def path(self, model: str, body: Body) -> str:
        """Where a body goes."""
        if body.kind == "gRPC":
            return "/tensorflow.serving.PredictionService/Predict"
        return f"/v1/models/{model}:predict" if self.name == "ours" else f"/{model}"

    def cpu_seconds(self) -> float:
        """What it and its children have computed so far."""
        return sum(_processes(self._process.pid).values())

    def resident_mib(self) -> float:
        """What of the machine's memory it holds."""
        return resident_mib(self._process.pid)

    def stop(self) -> None:
        """Ends it, with all its processes."""
        started = _processes(self._process.pid)
        self._process.terminate()
        self._process.wait(60)
        for number in started:  # LitServe leaves some behind.
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


def start_ours(models: dict[str, Path], folder: Path, *options: str) -> Server:
    """`stn-tf serve`, one thread a computation; on ONNX Runtime unless the options say else."""
    command = [sys.executable, "-m", "stn_tf.cli.main", "serve", "--host", "127.0.0.1"]
    command += ["--port", "0", "--rest_api_port", "0", "--engine", "onnx", "--threads", "1"]
    server = Server("ours", [*command, *map(str, models.values()), *options], folder / "ours.log")

    def listens(log: str) -> bool:
        if found := re.search(r"Serving gRPC on port (\d+), REST on port (\d+)", log):
            server.ports = {"gRPC": int(found[1]), "HTTP": int(found[2])}
        return bool(server.ports)

    server.wait(listens)
    return server


def start_peer(
    name: str, python: Path, script: str, models: dict[str, Path], folder: Path
) -> Server:
    """A peer in its own environment, on the same ONNX files and with the same sampler."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    files = [
        f"{model}={path / '1' / 'model.onnx'}={','.join(map(str, SIZES[model]))}"
        for model, path in models.items()
    ]
    command = [python, _HERE / script, port, onnxruntime_library(), *files]
    server = Server(name, [str(part) for part in command], folder / f"{name}.log")
    server.ports = {"HTTP": port}

    def answers(log: str) -> bool:
        try:
            for model in models:
                body = picture_body(model)
                connection = HttpConnection(port, server.path(model, body), body.kind, body.data)
                connection.send()
                connection.close()
        except (OSError, RuntimeError):
            return False
        return True

    server.wait(answers)
    return server


def resident_mib(pid: int | str) -> float:
    """What of the machine's memory a process holds (`self` for this one)."""
    (line,) = (
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    return int(line.split()[1]) / 1024


def _processes(pid: int) -> dict[int, float]:
    """A process and its children, with the seconds that each of them has computed.

    Those of children that have ended are their parent's.
    """
    seconds: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # It has just ended.
            continue
        number = int(folder.name)
        seconds[number] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        children.setdefault(int(fields[1]), []).append(number)
    found: dict[int, float] = {}
    todo = [pid]
    while todo:
        number = todo.pop()
        found[number] = seconds.get(number, 0.0)
        todo += children.get(number, [])
    return found
