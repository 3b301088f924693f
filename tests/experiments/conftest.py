"""Runs and data that several tests share, and processes that train."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from stn_tf.experiments import Run, load_experiment, train
from tests.experiments.kill_many import some_birds

# Small enough for a few seconds, and real: digits, distorted, and a network that straightens them.
TINY = (
    "steps=60",
    "batch_size=16",
    "learning_rate=0.001",
    "log_every=1",
    "evaluate_every=30",
    "checkpoint_every=10",
    "warmup_steps=0",
)
# Shorter still, in processes that are stopped and killed.
STOPPED = (
    "steps=36",
    "batch_size=16",
    "model=st-fcn-affine",
    "log_every=1",
    "evaluate_every=12",
    "checkpoint_every=6",
)
# Photographs in few pixels, through all of the machinery. In this process, so without
# deterministic operations, which cannot be switched off again for other tests.
BIRDS = (
    "image_size=32",
    "batch_size=6",
    "steps=3",
    "backbone=small",
    "transformers=2",
    "log_every=1",
    "deterministic=false",
)


@pytest.fixture
def without_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the page at the end of a run, which takes as long as a tiny training."""
    monkeypatch.setattr("stn_tf.experiments.training._write_page", lambda folder, found: None)


@pytest.fixture(scope="session")
def tiny_settings() -> tuple[str, ...]:
    return TINY


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run, trained in this process."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    # Deterministic operations cannot be switched off again, and other tests share the process.
    config = load_experiment("digits-r", [*TINY, "model=st-fcn-affine", "deterministic=false"])
    train(config, out, progress=False)
    return Run(out)


@pytest.fixture(scope="session")
def birds(tmp_path_factory: pytest.TempPathFactory, cub_dir: Path) -> Path:
    """Three classes of photographs in `train/` and `val/`, at most 48 pixels wide and high."""
    return some_birds(tmp_path_factory.mktemp("data") / "birds")


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of digits, ten grey PNG files each, 8 x 8 pixels."""
    root = tmp_path_factory.mktemp("data") / "digits"
    found = load_digits()
    for label, name in enumerate(("null", "one", "two")):
        (root / name).mkdir(parents=True)
        for number, image in enumerate(found.images[found.target == label][:10]):
            grey = Image.fromarray((image * 255 / 16).round().astype(np.uint8))
            grey.save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def bird_settings() -> tuple[str, ...]:
    return BIRDS


@pytest.fixture(scope="session")
def bird_run(tmp_path_factory: pytest.TempPathFactory, birds: Path) -> Run:
    """A finished run on photographs, with two transformers, trained in this process."""
    out = tmp_path_factory.mktemp("runs") / "birds"
    train(load_experiment("folder", [*BIRDS, f"data_dir={birds}"]), out, progress=False)
    return Run(out)


@pytest.fixture(scope="session")
def stn_tf_process(root: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `stn-tf` with some arguments in a process of its own."""

    def start(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "stn_tf.cli.main", *map(str, arguments)],
            cwd=root,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    started: list[subprocess.Popen[str]] = []
    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture(scope="session")
def finish() -> Callable[[subprocess.Popen[str]], tuple[int, str, str]]:
    """Waits for a process; returns its exit code, stdout and the last line of stderr."""

    def wait(process: subprocess.Popen[str]) -> tuple[int, str, str]:
        try:
            stdout, stderr = process.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process.returncode, stdout, (stderr.splitlines() or [""])[-1]

    return wait


@pytest.fixture(scope="session")
def tiny_arguments() -> list[Any]:
    """`stn-tf train` of a deterministic run, but for `--out`."""
    settings = [word for setting in STOPPED for word in ("--set", setting)]
    return ["train", "digits-r", *settings, "--json"]


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_arguments: list[Any],
    stn_tf_process: Callable[..., subprocess.Popen[str]],
    finish: Callable[[subprocess.Popen[str]], tuple[int, str, str]],
) -> Path:
    """The run that `tiny_arguments` gives when nothing happens to it."""
    out = tmp_path_factory.mktemp("runs") / "undisturbed"
    code, _, error = finish(stn_tf_process(*tiny_arguments, "--out", out))
    assert code == 0, error
    return out
