"""What does the server cost, against the bare runtime and against other Python servers?

    .venv/bin/python benchmarks/serving.py --peers-python .venv-peers/bin/python [--batch 8] ...

Every contender serves the same ONNX files, one thread a computation. A client in a process of its
own sends the same bodies to all, in turns: in a closed loop (4 connections, each sends as soon as
it has its answer), then in an open one at half of that rate: evenly, as most load generators do,
and at random, where one server that takes equally long for every request would have a 99th
percentile of 4.3 times the median by queueing theory (M/D/1). Client and server
share the machine, so that processor seconds of the server, with all its processes, are counted
too. "bare" is ONNX Runtime in a loop of so many threads as there are cores, without any server.
LitServe and Ray Serve take part where `--peers-python` names the Python of an environment of
`requirements/serving-peers.txt`. Percentiles are measured once more when they have been stopped:
Ray works while nobody asks it anything.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from sampler import RESULTS, machine
from serving_bars import bars, decoding_microseconds
from serving_contenders import (
    OUTPUTS,
    SIZES,
    Body,
    Server,
    export_models,
    picture_body,
    start_ours,
    start_peer,
    tensor_bodies,
)

CONNECTIONS = 4
OPEN_SECONDS = 2.0
OPEN_ROUNDS = 5
ARRIVALS = ("evenly", "at random")
OURS = ("gRPC, float_val", "gRPC, tensor_content", "npy", "JSON")
PEERS = {"LitServe": "serving_litserve.py", "Ray Serve": "serving_ray.py"}


class Load:
    """The client's process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        command = [sys.executable, str(Path(__file__).with_name("serving_load.py"))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, body: Body, **job: Any) -> dict[str, float]:
        """Does a job; the body is passed as a file."""
        file = self._folder / "body"
        file.write_bytes(body.data)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"kind": body.kind, "body": str(file), **job}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise click.ClickException("The client failed; its error stands above.")
        return dict(json.loads(line))

    def stop(self) -> None:
        """Ends it."""
        self._process.communicate()


@click.command()
@click.option("--images", "models", multiple=True, type=click.Choice(list(SIZES)), default=SIZES)
@click.option("--batch", "batches", multiple=True, type=int, default=(1, 8))
@click.option("--seconds", default=1.0, show_default=True, help="Of a turn in the closed loop.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--peers-python", type=click.Path(path_type=Path, exists=True))
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "serving.json")
def main(
    models: tuple[str, ...],
    batches: tuple[int, ...],
    seconds: float,
    rounds: int,
    peers_python: Path | None,
    output: Path,
) -> None:
    """Load the servers and write JSON."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = export_models(folder, models)
        servers = [start_ours(files, folder)]
        load = Load(folder)
        try:
            if peers_python is not None:
                for peer, script in PEERS.items():
                    servers.append(start_peer(peer, peers_python, script, files, folder))
            for model in models:
                for batch in (*batches, 0):
                    rows += measure(load, servers, model, batch, files[model], seconds, rounds)
            while len(servers) > 1:
                servers.pop().stop()
            measure_alone(load, servers[0], rows)
        finally:
            load.stop()
            for server in servers:
                server.stop()
    decoding = decoding_microseconds()
    met = bars(rows, tuple(PEERS), decoding)
    output.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "rows": rows, "bars": met}
    output.write_text(json.dumps(report, indent=1) + "\n")


def measure(
    load: Load,
    servers: list[Server],
    model: str,
    batch: int,
    version: Path,
    seconds: float,
    rounds: int,
) -> list[dict[str, Any]]:
    """Rows of a batch of tensors, or, where `batch` is 0, of one JPEG file."""
    bodies = tensor_bodies(model, batch) if batch else {"JPEG": picture_body(model)}
    chosen: dict[str, tuple[str, ...]] = {"ours": OURS, **dict.fromkeys(PEERS, ("JSON", "raw"))}
    if not batch:
        chosen = dict.fromkeys(chosen, ("JPEG",))
    jobs = [(server, bodies[name]) for server in servers for name in chosen[server.name]]
    turns: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(rounds):
        # Nobody always comes after the same one.
        random.shuffle(jobs)
        for server, body in jobs:
            turns.setdefault((server.name, body.name), []).append(
                turn(load, server, model, body, seconds)
            )
        if batch:
            turns.setdefault(("bare", "in memory"), []).append(
                bare(load, version, bodies["npy"], seconds)
            )
    rows: list[dict[str, Any]] = []
    for name, taken in turns.items():
        images = (batch or 1) / statistics.median(one["seconds"] / one["requests"] for one in taken)
        row: dict[str, Any] = {
            "images": model,
            "content": f"{batch} tensors" if batch else "JPEG",
            "contender": name[0],
            "body": name[1],
            "images_per_second": images,
            "cpu_milliseconds": statistics.median(
                one["cpu_seconds"] / one["requests"] / (batch or 1) * 1e3 for one in taken
            ),
        }
        rows.append(row)
    for server, body in jobs:
        (row,) = (r for r in rows if (r["contender"], r["body"]) == (server.name, body.name))
        rate = row["images_per_second"] / (batch or 1) / 2
        row["half_load"] = {
            arrivals: half_load(load, server, model, body, rate, arrivals, 1)
            for arrivals in ARRIVALS
        }
    rows.sort(key=lambda row: -row["images_per_second"])
    show(rows)
    return rows


def half_load(
    load: Load, server: Server, model: str, body: Body, rate: float, arrivals: str, rounds: int
) -> dict[str, float]:
    """Percentiles of the open loop: the median of some turns."""
    turns = [
        turn(load, server, model, body, OPEN_SECONDS, rate=rate, arrivals=arrivals)
        for _ in range(rounds)
    ]
    return {key: statistics.median(one[key] for one in turns) for key in ("requests", "p50", "p99")}


def measure_alone(load: Load, server: Server, rows: list[dict[str, Any]]) -> None:
    """Adds the percentiles of a server beside which no other runs."""
    print("\nstn-tf alone, half load")
    for row in rows:
        if row["contender"] != server.name:
            continue
        model, batch = row["images"], int(row["content"].split()[0].replace("JPEG", "0"))
        body = tensor_bodies(model, batch)[row["body"]] if batch else picture_body(model)
        rate = row["images_per_second"] / (batch or 1) / 2
        found = half_load(load, server, model, body, rate, ARRIVALS[0], OPEN_ROUNDS)
        row["half_load_alone"] = found
        name = f"{model}, {row['content']}, {row['body']}"
        print(f"  {name:<40}", percentiles({ARRIVALS[0]: found}), flush=True)


def turn(
    load: Load, server: Server, model: str, body: Body, seconds: float, **job: Any
) -> dict[str, float]:
    """One contender's turn, with the server's processor seconds."""
    job |= {"port": server.ports["gRPC" if body.kind == "gRPC" else "HTTP"], "seconds": seconds}
    job |= {"path": server.path(model, body), "connections": CONNECTIONS}
    before = server.cpu_seconds()
    found = load.run(body, **job)
    return found | {"cpu_seconds": server.cpu_seconds() - before}


def bare(load: Load, version: Path, body: Body, seconds: float) -> dict[str, float]:
    """The turn of ONNX Runtime alone."""
    model = str(version / "1" / "model.onnx")
    threads = os.cpu_count() or 1
    body = Body("in memory", "bare", body.data)
    return load.run(body, model=model, outputs=OUTPUTS, connections=threads, seconds=seconds)


def show(rows: list[dict[str, Any]]) -> None:
    """Prints the rows of one content."""
    print(f"\n{rows[0]['images']}, {rows[0]['content']}")
    for row in rows:
        name = f"{row['contender']}, {row['body']}"
        text = f"  {name:<30}{row['images_per_second']:9.0f} images/s"
        text += f"{row['cpu_milliseconds']:9.3f} ms CPU an image"
        print(text, percentiles(row.get("half_load", {})), flush=True)


def percentiles(half_load: dict[str, dict[str, float]]) -> str:
    """The percentiles of the open loop in words."""
    return "".join(
        f"  {arrivals}: p50 {found['p50']:7.2f} ms  p99 {found['p99']:7.2f} ms"
        for arrivals, found in half_load.items()
    )


if __name__ == "__main__":
    main()
