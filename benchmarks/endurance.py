"""Does the server keep its promises for long: no failed request, no growing memory, a quick start?

    .venv/bin/python benchmarks/endurance.py [--swaps 20] [--engine onnx] ...

Clients ask over gRPC and REST without a pause while new versions replace old ones, one after the
other; a request that fails is counted. "bare" is a Python process that holds the same ONNX Runtime
session, with our sampler, and has answered one request.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from sampler import RESULTS, machine
from serving_contenders import Body, Server, export_models, start_ours, tensor_bodies
from serving_load import GrpcConnection, HttpConnection

MODEL = "224x224x3"
BODIES = ("gRPC, float_val", "gRPC, tensor_content", "npy", "JSON")
FIRST = 3  # Memory is compared from here on: allocators and caches have settled.
STARTS = 5
PATIENCE_SECONDS = 120.0
BARE = """
import sys
from pathlib import Path
import numpy as np
from stn_tf.serving.models.onnx_session import make_session

session = make_session(Path(sys.argv[1]), threads=1)
session.run(None, {"images": np.zeros((1, 224, 224, 3), np.float32)})
(line,) = (l for l in open("/proc/self/status") if l.startswith("VmRSS:"))
print(int(line.split()[1]) / 1024)
"""


class Clients:
    """Threads that ask without a pause; `failed` holds what went wrong."""

    def __init__(self, server: Server, bodies: list[Body]) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(server, body)) for body in bodies]
        for thread in self._threads:
            thread.start()

    def _ask(self, server: Server, body: Body) -> None:
        connection = _connect(server, body)
        while not self._done.is_set():
            try:
                connection.send()
            except Exception as error:
                with self._lock:
                    self.failed.append(f"{body.name}: {type(error).__name__}: {error}")
                connection.close()
                connection = _connect(server, body)
            else:
                with self._lock:
                    self.answered += 1
        connection.close()

    def stop(self) -> None:
        """Lets the last requests be answered."""
        self._done.set()
        for thread in self._threads:
            thread.join()


def _connect(server: Server, body: Body) -> HttpConnection | GrpcConnection:
    path = server.path(MODEL, body)
    if body.kind == "gRPC":
        return GrpcConnection(server.ports["gRPC"], path, body.data)
    return HttpConnection(server.ports["HTTP"], path, body.kind, body.data)


@click.command()
@click.option("--engine", "engines", multiple=True, default=("onnx", "saved_model"))
@click.option("--swaps", default=20, show_default=True, type=click.IntRange(min=FIRST))
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "endurance.json")
def main(engines: tuple[str, ...], swaps: int, output: Path) -> None:
    """Swap versions under load and write JSON."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        version = export_models(folder, (MODEL,))[MODEL] / "1"
        for engine in engines:
            rows.append({"engine": engine, **endure(version, engine, swaps, folder)})
            print(json.dumps(rows[-1], indent=1), flush=True)
        start = starts(version, folder)
    met = bars(rows, start)
    output.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "rows": rows, "start": start, "bars": met}
    output.write_text(json.dumps(report, indent=1) + "\n")


@contextmanager
def served(version: Path, folder: Path, *options: str) -> Iterator[tuple[Server, Path]]:
    """A server of a folder of versions, of which there is one."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        base = Path(name) / MODEL
        publish(version, base, 1)
        server = start_ours({MODEL: base}, Path(name), *options)
        try:
            yield server, base
        finally:
            server.stop()


def publish(version: Path, base: Path, number: int) -> None:
    """Writes a version as exports do: whole, by a rename."""
    shutil.copytree(version, base / ".aside").rename(base / str(number))


def endure(version: Path, engine: str, swaps: int, folder: Path) -> dict[str, Any]:
    """One engine under load while versions come and go."""
    bodies = [body for name, body in tensor_bodies(MODEL, 1).items() if name in BODIES]
    options = ("--engine", engine, "--file_system_poll_wait_seconds", "0.1")
    with served(version, folder, *options) as (server, base):
        clients = Clients(server, bodies)
        start = time.perf_counter()
        resident = []
        for number in range(2, swaps + 2):
            publish(version, base, number)
            wait(server, number)
            shutil.rmtree(base / str(number - 1))
            resident.append(under_load(server))
            print(f"{engine}: swap {number - 1}: {resident[-1]:.1f} MiB", flush=True)
        seconds = time.perf_counter() - start
        clients.stop()
    for failure in clients.failed[:10]:
        print(failure)
    return {
        "swaps": swaps,
        "requests": clients.answered,
        "failed": len(clients.failed),
        "requests_per_second": clients.answered / seconds,
        "resident_mib": resident,
    }


def under_load(server: Server) -> float:
    """The memory that is held between swaps; a request in flight is a part of it."""
    samples = []
    for _ in range(10):
        time.sleep(0.1)
        samples.append(server.resident_mib())
    return statistics.median(samples)


def wait(server: Server, number: int) -> None:
    """Waits until a version serves and the one before it is gone."""
    url = f"http://127.0.0.1:{server.ports['HTTP']}/v1/models/{MODEL}"
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        with urllib.request.urlopen(url) as answer:
            states = {v["version"]: v["state"] for v in json.load(answer)["model_version_status"]}
        if states.get(str(number)) == "AVAILABLE" and states[str(number - 1)] == "END":
            return
        if time.monotonic() > end:
            raise click.ClickException(f"Version {number} does not serve: {states}")
        time.sleep(0.05)


def starts(version: Path, folder: Path) -> dict[str, Any]:
    """How long a server of an ONNX model takes to be ready, and what it then holds."""
    body = tensor_bodies(MODEL, 1)["gRPC, float_val"]
    seconds, resident = [], []
    for _ in range(STARTS):
        begin = time.perf_counter()
        with served(version, folder) as (server, _):
            seconds.append(time.perf_counter() - begin)
            connection = _connect(server, body)
            connection.send()
            connection.close()
            resident.append(server.resident_mib())
    command = [sys.executable, "-c", BARE, str(version / "model.onnx")]
    bare = [
        float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        for _ in range(STARTS)
    ]
    return {
        "ready_seconds": statistics.median(seconds),
        "resident_mib": statistics.median(resident),
        "bare_mib": statistics.median(bare),
    }


def bars(rows: list[dict[str, Any]], start: dict[str, Any]) -> list[dict[str, Any]]:
    """What was promised, and whether it holds."""
    found: list[dict[str, Any]] = []

    def bar(text: str, value: float, limit: float) -> None:
        met = value <= limit
        found.append({"bar": text, "value": value, "limit": limit, "met": met})
        print(f"{'met   ' if met else 'MISSED'} {text}: {value:.3f} <= {limit:g}", flush=True)

    for row in rows:
        bar(f"{row['engine']}: failed requests", row["failed"], 0)
        first, last = row["resident_mib"][FIRST - 1], row["resident_mib"][-1]
        bar(f"{row['engine']}: memory, last swap / swap {FIRST}", last / first, 1.1)
    bar("onnx: seconds from start to ready", start["ready_seconds"], 3)
    bar("onnx: MiB above bare", start["resident_mib"] - start["bare_mib"], 60)
    return found


if __name__ == "__main__":
    main()
