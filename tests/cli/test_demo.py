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
    """A demo beside what an earlier one left."""
    out = tmp_path_factory.mktemp("demo") / "out"
    (out / "run").mkdir(parents=True)
    (out / "run" / "report.json").write_text("earlier")
    (out / "export" / "1").mkdir(parents=True)
    settings = [argument for setting in _SHORT for argument in ("--set", setting)]
    return out, CliRunner().invoke(main, ["demo", "--out", str(out), *settings])


@pytest.mark.slow
def test_three_errors_are_equal(demo):
    out, result = demo
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


def test_an_earlier_run_is_kept(demo):
    out, result = demo
    assert f"Training digits-rts in {out / 'run-2'}" in result.stderr.replace("\n", "")
    assert (out / "run" / "report.json").read_text() == "earlier"
    assert (out / "run-2" / "report.json").is_file()
    assert (out / "export" / "2" / "model.onnx").is_file()
