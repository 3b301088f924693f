"""Kills a training many times at random moments, and compares it with one that was left alone.

    PYTHONPATH=. python tests/experiments/kill_many.py digits
    PYTHONPATH=. python tests/experiments/kill_many.py folder --kills 10 --seed 3

Every second time the process is killed while it writes a checkpoint, else some steps after it went
on. Prints a line for each, and exits with 1 if the weights or the metrics differ in one bit.
`folder` trains `small` with two transformers on augmented photographs, or what `--set` asks for.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SETTINGS = ("log_every=1", "checkpoint_every=7", "evaluate_every=20", "seed=2")
DIGITS = ("steps=120", "batch_size=16", "model=st-fcn-affine", *SETTINGS)
FOLDER = (
    "steps=120",
    "batch_size=6",
    "image_size=32",
    "backbone=small",
    "transformers=2",
    "augment=strong",
    "ema=0.9",
    *SETTINGS,
)

Start = Callable[..., "subprocess.Popen[str]"]
# Of metrics that a killed run has too.
_TIMES = {"images_per_second", "input_wait"}


def arguments(experiment: str, settings: Iterable[str], *more: str | Path) -> list[str]:
    """Returns those of `stn-tf train`."""
    words = [word for setting in settings for word in ("--set", setting)]
    return ["train", experiment, *words, *map(str, more)]


def start(*given: str | Path) -> "subprocess.Popen[str]":
    """Starts `stn-tf`."""
    return subprocess.Popen(
        [sys.executable, "-m", "stn_tf.cli.main", *map(str, given)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def steps_of(run: Path) -> int:
    """Returns the last step that the metrics of a run tell of."""
    metrics = run / "metrics.jsonl"
    lines = metrics.read_text().split("\n")[:-1] if metrics.exists() else []
    return int(json.loads(lines[-1])["step"]) if lines else 0


def wait_for_step(run: Path, step: int, process: "subprocess.Popen[str]") -> bool:
    """Waits until the metrics have a line of this step or a later one; or for the process."""
    while process.poll() is None:
        if steps_of(run) >= step:
            return True
        time.sleep(0.01)
    return False


def wait_for_checkpoint(run: Path, process: "subprocess.Popen[str]") -> bool:
    """Waits until a checkpoint is being written; or for the process."""
    while process.poll() is None:
        if next((run / "checkpoints").glob(".step-*.partial"), None):
            return True
        time.sleep(0.0005)
    return False


def kill(
    given: Sequence[str], run: Path, chance: random.Random, *, writing: bool, begin: Start = start
) -> bool:
    """Starts or resumes a run and kills it.

    Args:
        given: Arguments of `stn-tf`, without `--resume`.
        run: The run folder.
        chance: Chooses the moment.
        writing: Kill it while it writes a checkpoint, else some steps later.
        begin: What starts a process.

    Returns:
        Whether it was killed, rather than done before.
    """
    before = steps_of(run)
    process = begin(*given, "--resume")
    # Where it goes on, lines of later steps are removed: the metrics may be of fewer steps first.
    wait_for_step(run, 1, process)
    if writing:
        found = wait_for_checkpoint(run, process)
        time.sleep(chance.uniform(0.0, 0.02))
    else:
        found = wait_for_step(run, before + chance.randint(1, 12), process)
        time.sleep(chance.uniform(0.0, 0.05))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return found and process.returncode == -signal.SIGKILL


def finish(given: Sequence[str], *more: str, begin: Start = start) -> None:
    """Runs `stn-tf` to its end.

    Raises:
        RuntimeError: If it fails.
    """
    process = begin(*given, *more)
    _, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(given)} ended with {process.returncode}: {errors[-2000:]}")


def outcome(run: Path) -> dict[str, Any]:
    """Returns what must be the same in two runs, whatever happened to them."""
    report = json.loads((run / "report.json").read_text())
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return {
        "metrics": [{k: v for k, v in line.items() if k not in _TIMES} for line in lines],
        **{key: report[key] for key in ("weights_sha256", "error_percent", "chosen_step", "steps")},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("digits", "folder"))
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-dir", type=Path, help="Of `folder`; else some of the birds.")
    parser.add_argument("--set", action="append", default=[], dest="settings")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.what == "digits":
            given = arguments("digits-r", [*DIGITS, *asked.settings])
        else:
            data = asked.data_dir or some_birds(folder / "birds")
            given = arguments("folder", [*FOLDER, *asked.settings], "--data-dir", data)
        alone, killed = folder / "alone", folder / "killed"
        finish(given, "--out", str(alone))
        chance = random.Random(asked.seed)
        for number in range(asked.kills):
            done = kill([*given, "--out", str(killed)], killed, chance, writing=bool(number % 2))
            kept = sorted(path.name for path in (killed / "checkpoints").glob("*"))
            print(f"kill {number + 1}: {done}, step {steps_of(killed)}, {' '.join(kept)}")
        finish([*given, "--out", str(killed)], "--resume")
        same = outcome(killed) == outcome(alone)
        shutil.rmtree(killed)
        print(f"{'The same' if same else 'DIFFERENT'}: {outcome(alone)['weights_sha256']}")
        return 0 if same else 1


def some_birds(root: Path, classes: int = 3) -> Path:
    """Writes `train/` and `val/` with 8 and 4 photographs a class, at most 48 pixels a side."""
    from PIL import Image

    from tests.conftest import DATA

    for folder in sorted((DATA / "cub10" / "CUB_200_2011" / "images").iterdir())[:classes]:
        for number, path in enumerate(sorted(folder.iterdir())[:12]):
            copy = root / ("train" if number < 8 else "val") / folder.name / path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as image:
                image.thumbnail((48, 48))
                image.save(copy, quality=90)
    return root


if __name__ == "__main__":
    sys.exit(main())
