"""`stn-tf demo`, with a training of a few steps."""

import csv
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from stn_tf.cli.main import main

# In this process, so without deterministic operations for other tests.
_SHORT = ["steps=4", "batch_size=16", "deterministic=false"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    settings = [argument for setting in _SHORT for argument in ("--set", setting)]
    results = [CliRunner().invoke(main, ["demo", "--out", str(out), *settings]) for _ in range(2)]
    return out, results


def test_three_errors_are_equal(demo):
    out, (result, _) = demo
    assert result.exit_code == 0, result.output
    rows = re.findall(r"(live model|SavedModel|ONNX) *│ *([\d.]+) *│ *([\d.e+-]*)", result.stdout)
    assert [row[0] for row in rows] == ["live model", "SavedModel", "ONNX"]
    assert len({row[1] for row in rows}) == 1
    assert all(float(row[2]) <= 1e-4 for row in rows[1:])

    # The error again, from the rows that were written for both engines.
    with np.load(out / "held_out.npz") as held_out:
        labels = held_out["labels"]
    for engine in ("onnx", "saved_model"):
        with (out / f"predictions_{engine}.csv").open(newline="") as file:
            picked = [int(row["class"]) for row in csv.DictReader(file)]
        assert f"{100 * np.mean(picked != labels):.2f}" == rows[0][1]


def test_picture_is_drawn(demo):
    out, _ = demo
    with Image.open(out / "look.png") as opened:
        picture = np.asarray(opened.convert("RGB"))
    assert picture.shape[1] > 1000
    assert picture.std() > 20


def test_second_run_keeps_the_first(demo):
    out, (_, result) = demo
    assert result.exit_code == 0, result.output
    assert (out / "run" / "report.json").is_file()
    assert (out / "run-2" / "report.json").is_file()
    assert (out / "export" / "2" / "model.onnx").is_file()
