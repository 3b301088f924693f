"""How fast is the native sampler, against everything else that samples?

    .venv/bin/python benchmarks/sampler.py [--shape 64,60,60,32] [--threads 2] [--mode grid] ...

Contenders are timed in turns within one run: in each round every one of them rests, so that the
threads of the last one go to sleep, warms up, and is called for a moment. The figures are medians
over all calls. torch takes part where it is installed, TensorFlow Addons where `--addons-python`
names the Python of its environment (`make addons-env`).
"""

import datetime
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
from sampler_contenders import MODES, Addons, contenders, make_case

SHAPES = (
    "64,60,60,32",
    "256,42,42,1",
    "1,224,224,3",
    "1,1080,1920,3",
    "16,128,128,32",
    "8,56,56,64",
    "2,32,64,64,4",
)
RESULTS = Path(__file__).parent / "results"
REST_SECONDS, WARM_SECONDS, TURN_SECONDS, TURN_CALLS = 0.2, 0.1, 0.25, 100
LIBRARIES = ("stn-tf", "tensorflow", "torch", "onnxruntime-gpu", "onnxruntime", "numpy")


@click.command()
@click.option("--shape", "shapes", multiple=True, default=SHAPES, help="Images, channels last.")
@click.option("--threads", multiple=True, type=int, default=(1, 2))
@click.option("--mode", "modes", multiple=True, type=click.Choice(list(MODES)), default=list(MODES))
@click.option("--rounds", default=2, show_default=True)
@click.option("--addons-python", type=click.Path(path_type=Path, exists=True))
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "sampler.json")
@click.option("--worker", is_flag=True, hidden=True)
def main(
    shapes: tuple[str, ...],
    threads: tuple[int, ...],
    modes: tuple[str, ...],
    rounds: int,
    addons_python: Path | None,
    output: Path,
    worker: bool,
) -> None:
    """Time the samplers and write JSON and a chart."""
    if worker:
        # TensorFlow's threads are set once in a process: one process for each number of them.
        for shape in shapes:
            for row in measure(shape, threads[0], modes, rounds, addons_python):
                print(json.dumps(row), flush=True)
        return
    rows = []
    for count in threads:
        command = [sys.executable, __file__, "--worker", "--threads", str(count)]
        command += [part for shape in shapes for part in ("--shape", shape)]
        command += [part for mode in modes for part in ("--mode", mode)]
        command += ["--rounds", str(rounds)]
        command += ["--addons-python", str(addons_python)] if addons_python else []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                rows.append(json.loads(line))
                show(rows[-1])
        if process.returncode:
            raise SystemExit(process.returncode)
    output.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine(), "rows": rows}
    output.write_text(json.dumps(report, indent=1) + "\n")
    draw(rows, output.with_suffix(".png"))


def measure(
    shape: str, threads: int, modes: tuple[str, ...], rounds: int, addons_python: Path | None
) -> list[dict[str, Any]]:
    """Times every contender in every mode; one row a mode."""
    import tensorflow as tf

    # Before TensorFlow starts; later shapes of this process find it set.
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    sizes = tuple(int(size) for size in shape.split(","))
    from stn_tf import native

    if native.is_available():
        native.set_threads(threads)
    case = make_case(sizes, threads)
    addons = Addons(addons_python, sizes, threads) if addons_python and len(sizes) == 4 else None
    rows = []
    for mode in modes:
        calls = contenders(mode, case, addons)
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds):
            for name, call in calls.items():
                times[name] += turn(call, own_clock=name == "addons")
        medians = {name: statistics.median(taken) for name, taken in times.items()}
        rows.append({"shape": shape, "threads": threads, "mode": mode, "milliseconds": medians})
    if addons is not None:
        addons.close()
    return rows


def turn(call: Callable[[], Any], own_clock: bool) -> list[float]:
    """Milliseconds of a few calls."""
    time.sleep(REST_SECONDS)
    # Until its threads have found their cores again.
    end = time.perf_counter() + WARM_SECONDS
    call()
    while time.perf_counter() < end:
        call()
    taken: list[float] = []
    end = time.perf_counter() + TURN_SECONDS
    while len(taken) < TURN_CALLS and (not taken or time.perf_counter() < end):
        start = time.perf_counter()
        answer = call()
        taken.append(answer if own_clock else (time.perf_counter() - start) * 1e3)
    return taken


def show(row: dict[str, Any]) -> None:
    """Prints a row, with ratios to the native sampler."""
    times = row["milliseconds"]
    own = times.get("native")
    print(f"\n{row['shape'].replace(',', 'x')}, {row['threads']} threads, {MODES[row['mode']]}")
    for name, taken in sorted(times.items(), key=lambda item: item[1]):
        ratio = f"{taken / own:6.2f} x native" if own else ""
        print(f"  {name:<32}{taken:10.3f} ms  {ratio}", flush=True)


def machine() -> dict[str, Any]:
    """Where and with what this was measured."""
    from stn_tf import native

    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.date.today().isoformat(),
        "processor": _processor(),
        "instruction_set": native.instruction_set() if native.is_available() else None,
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws the rows of the most threads, one panel a shape and forward mode."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    most = max(row["threads"] for row in rows)
    chosen = [row for row in rows if row["threads"] == most and row["mode"] == "grid"]
    if not chosen:
        return
    figure, panels = pyplot.subplots(
        len(chosen), 1, figsize=(9, 2.3 * len(chosen)), squeeze=False, layout="constrained"
    )
    for panel, row in zip(panels[:, 0], chosen, strict=True):
        items = sorted(row["milliseconds"].items(), key=lambda item: -item[1])
        colours = ["tab:orange" if "native" in name else "tab:blue" for name, _ in items]
        bars = panel.barh([name for name, _ in items], [value for _, value in items], color=colours)
        panel.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
        panel.set_xscale("log")
        panel.margins(x=0.15)
        panel.set_title(f"{row['shape'].replace(',', ' x ')}, milliseconds, {most} threads")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
