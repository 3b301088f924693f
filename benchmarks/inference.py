"""What does sampling cost when a network answers?

    .venv/bin/python benchmarks/inference.py [--network mnist-rts] [--threads 1] [--batch 32] ...

Every network runs in ONNX Runtime: the dual file with our library and without, GridSample with
aligned corners (what an exporter writes that keeps the convention), tf2onnx's gathers, and with
the sampler taken out; in TensorFlow: the SavedModel's signature with stock operations and with
gathers; `mnist-rts` also in PyTorch, where it is installed. Contenders are timed in turns within
one run; the figures are medians.
"""

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from sampler import RESULTS, machine

NETWORKS = (
    *("mnist-rts", "feature-maps", "feature-maps-3x3", "attention-224"),
    *("affine-42 alone", "attention-224 alone"),
)
Call = Callable[[], Any]
REST_SECONDS, WARM_CALLS, TURN_SECONDS, TURN_CALLS = 0.3, 2, 0.4, 200


@click.command()
@click.option("--network", "networks", multiple=True, default=NETWORKS)
@click.option("--threads", multiple=True, type=int, default=(1, 2))
@click.option("--batch", "batches", multiple=True, type=int, default=(1, 32, 256))
@click.option("--rounds", default=3, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "inference.json")
@click.option("--worker", is_flag=True, hidden=True)
def main(
    networks: tuple[str, ...],
    threads: tuple[int, ...],
    batches: tuple[int, ...],
    rounds: int,
    output: Path,
    worker: bool,
) -> None:
    """Time the networks and write JSON."""
    if worker:
        for network in networks:
            for row in measure(network, threads[0], batches, rounds):
                print(json.dumps(row), flush=True)
        return
    rows = []
    for count in threads:
        # TensorFlow's threads are set once in a process.
        command = [sys.executable, __file__, "--worker", "--threads", str(count)]
        command += [part for network in networks for part in ("--network", network)]
        command += [part for batch in batches for part in ("--batch", str(batch))]
        command += ["--rounds", str(rounds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                rows.append(json.loads(line))
                show(rows[-1])
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def measure(
    name: str, threads: int, batches: tuple[int, ...], rounds: int
) -> Iterator[dict[str, Any]]:
    """Yields the medians of one network for each batch."""
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import inference_networks

    network = inference_networks.made(name)
    files = inference_networks.files(network)
    functions = inference_networks.signatures(network)
    sessions = {
        "ours": session(files["dual"], threads, ours=True),
        "without our library": session(files["dual"], threads),
        "GridSample, aligned corners": session(files["GridSample, aligned corners"], threads),
        "gathers": session(files["gathers"], threads),
        "no sampler": session(files["no sampler"], threads),
    }
    shape = network.inputs["images"].shape[1:]
    for size in batches:
        if size > 32 and name not in ("mnist-rts", "affine-42 alone"):
            continue  # Hundreds of megabytes of images or maps, in every contender.
        batch = np.random.default_rng(0).uniform(size=(size, *shape)).astype(np.float32)
        calls = {key: run(made, batch) for key, made in sessions.items()}
        for key, function in functions.items():
            calls[key] = inference_networks.run_signature(function, batch)
        if name == "mnist-rts":
            calls |= torchs(batch, threads)
        yield {
            "network": name,
            "threads": threads,
            "batch": size,
            "milliseconds": timed(calls, rounds),
        }


def session(model: Any, threads: int, *, ours: bool = False) -> Any:
    """An ONNX Runtime session on so many threads."""
    import onnxruntime

    from stn_tf import native

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    if ours:
        options.register_custom_ops_library(native.onnxruntime_library_path())
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(made: Any, batch: Any) -> Call:
    """A call of a session on a batch."""
    import onnxruntime

    value = onnxruntime.OrtValue.ortvalue_from_numpy(batch)
    feeds = {given.name: value for given in made.get_inputs()}
    return lambda: made.run_with_ort_values(None, feeds)


def torchs(batch: Any, threads: int) -> dict[str, Call]:
    """The same network in PyTorch, where it is installed."""
    try:
        import torch
    except ImportError:
        return {}
    import inference_networks
    from training_step_torch import Network

    torch.set_num_threads(threads)
    network = Network.like(inference_networks.mnist_rts()).eval()
    images = torch.from_numpy(batch.transpose(0, 3, 1, 2).copy())
    last = network.to(memory_format=torch.channels_last)

    def call(model: Any, given: Any) -> Call:
        def answer() -> Any:
            with torch.inference_mode():
                return model(given)

        return answer

    first = Network.like(inference_networks.mnist_rts()).eval()
    return {
        "torch": call(first, images),
        "torch, channels last": call(last, images.to(memory_format=torch.channels_last)),
    }


def timed(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """The median milliseconds of every call, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls.items())
    for _ in range(rounds):
        # Nobody always comes after the same one.
        random.shuffle(order)
        for name, call in order:
            time.sleep(REST_SECONDS)
            for _ in range(WARM_CALLS):
                call()
            begin = time.perf_counter()
            for _ in range(TURN_CALLS):
                start = time.perf_counter()
                call()
                now = time.perf_counter()
                times[name].append((now - start) * 1e3)
                if now - begin > TURN_SECONDS and len(times[name]) > 2:
                    break
    return {name: statistics.median(taken) for name, taken in times.items()}


def show(row: dict[str, Any]) -> None:
    """Prints a row: milliseconds, and against the network without a sampler."""
    print(f"{row['network']}, batch {row['batch']}, {row['threads']} threads")
    floor = row["milliseconds"]["no sampler"]
    for name, taken in sorted(row["milliseconds"].items(), key=lambda item: item[1]):
        print(f"  {name:<30}{taken:9.3f} ms  {taken / floor:6.2f} x no sampler", flush=True)


if __name__ == "__main__":
    main()
