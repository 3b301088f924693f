"""The README's code runs as it stands, in order, in an empty folder."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

# What a reader brings along: trainings are cut to a few steps, MNIST is found in the test data.
FEWER_STEPS = ["--set", "steps=3", "--set", "batch_size=32"]


def blocks(root: Path, language: str) -> list[str]:
    text = (root / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def test_every_block_is_run(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^```\w+$", text, re.MULTILINE)) == len(
        blocks(root, "console") + blocks(root, "python")
    )


def test_python_blocks(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks(root, "python"):
        exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "exports" / "mine" / "1" / "model.onnx").is_file()
    assert names["crops"].shape == (None, 32, 32, 3)
    assert names["window"].shape == (1, 224, 224, 3)


@pytest.mark.slow
def test_console_blocks(root: Path, tmp_path: Path, mnist_dir: Path) -> None:
    (tmp_path / "mnist").symlink_to(mnist_dir.resolve())
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / "my-images" / name).mkdir(parents=True)
        for index in range(20):
            pixels = rng.integers(0, 256, (50, 40, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "my-images" / name / f"{index}.png")
    commands = [line for block in blocks(root, "console") for line in block.splitlines()]
    ours = [shlex.split(line)[1:] for line in commands if line.startswith("stn-tf ")]
    # The rest sets up, which the continuous integration does by itself.
    assert {line.split()[0] for line in commands} == {"make", "pip", "stn-tf"}
    for command in ours:
        # A run that is complete has nothing to resume; resuming is tested elsewhere.
        extra = FEWER_STEPS if command[0] == "train" and "--resume" not in command else []
        done = subprocess.run(
            [sys.executable, "-m", "stn_tf.cli.main", *command, *extra],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
    written = {path.name for path in tmp_path.iterdir()}
    assert {"predictions.csv", "look.png", "mine.parquet"} <= written
