"""`stn-tf predict` on a real exported model."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from stn_tf.cli.main import main
from tests.serving import handmade
from tests.serving.conftest import CLASSES


def _predict(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


@pytest.fixture
def good(folder: Path) -> Path:
    (folder / "3a.png").unlink()
    return folder


@pytest.fixture
def labelled(tmp_path: Path, images: np.ndarray, model) -> Path:
    """Nine images, two of which are labelled with another class than the model's."""
    picked = np.asarray(model(images.astype(np.float32) / 255.0)).argmax(axis=-1)
    picked[:2] = (picked[:2] + 1) % len(CLASSES)
    np.savez(tmp_path / "labelled.npz", images=images, labels=picked)
    return tmp_path / "labelled.npz"


@pytest.mark.parametrize("engine", ["onnx", "saved_model"])
def test_line_says_what_was_written(model_dir, labelled, tmp_path, engine):
    output = tmp_path / "rows.csv"
    result = _predict(model_dir, labelled, "--output", output, "--engine", engine)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert result.stdout.startswith(f"{output}: 9 images, error 22.22 % ({engine}, ")
    with output.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == [str(index) for index in range(9)]
    assert set(rows[0]) >= {"source", "class", "probability", "theta_5", "corner_top_left_x"}
    assert "probability_ant" not in rows[0]


def test_json(model_dir, labelled, good, tmp_path):
    output = tmp_path / "rows.parquet"
    result = _predict(model_dir, labelled, good, "--output", output, "--json", "--batch-size", 2)
    answer = json.loads(result.stdout)
    assert answer.pop("seconds") > 0
    assert answer == {
        "output": str(output),
        "images": 17,
        "error_percent": pytest.approx(200 / 9),  # Of the nine whose class is known.
        "model": str(model_dir / "1"),
        "engine": "onnx",
        "left_out": {},
        "unreadable": [],
    }


def test_outputs_that_are_left_out_are_told(tmp_path):
    model = handmade.regression(tmp_path / "model", handmade.WIDE)
    np.save(tmp_path / "images.npy", np.zeros((2, 6, 5, 3), np.uint8))
    result = _predict(model.path, tmp_path / "images.npy", "--output", tmp_path / "rows.csv")
    assert result.exit_code == 0, result.output
    assert result.stderr == "Left out: `temperature` has no row for each image.\n"


def test_map_in_csv_is_refused_in_one_line(tmp_path):
    model = handmade.dense(tmp_path / "model")
    np.save(tmp_path / "images.npy", np.zeros((2, 6, 5, 3), np.uint8))
    result = _predict(model.path, tmp_path / "images.npy", "--output", tmp_path / "rows.csv")
    _assert_one_line(
        result,
        "`map` has shape [6, 5, 2] for each image, and a line of CSV holds numbers and vectors "
        "only. Write .parquet or .jsonl.",
    )


def test_probabilities(model_dir, good, tmp_path):
    output = tmp_path / "rows.csv"
    _predict(model_dir, good, "--output", output, "--probabilities")
    with output.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        shares = {name: float(row[f"probability_{name}"]) for name in CLASSES}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert row["class"] == max(shares, key=shares.__getitem__)
        assert float(row["probability"]) == shares[row["class"]]


def test_damaged_image_is_listed_and_the_rest_is_done(model_dir, folder, tmp_path):
    output = tmp_path / "rows.jsonl"
    result = _predict(model_dir, folder, "--output", output)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{output}: 8 images (onnx, ")
    listed, last = result.stderr.splitlines()
    assert listed.startswith(f"Cannot read {folder / '3a.png'}: ")
    assert last == (f"Error: 1 of 9 images cannot be read; the rows of the others are in {output}.")
    assert len(output.read_text(encoding="utf-8").splitlines()) == 8

    result = _predict(model_dir, folder, "--output", output, "--json")
    assert result.exit_code == 1
    (entry,) = json.loads(result.stdout)["unreadable"]
    assert entry["file"] == str(folder / "3a.png")
    assert entry["why"]


def _assert_one_line(result: Result, message: str) -> None:
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    assert result.stderr == f"Error: {message}\n"


def test_array_of_another_size_exception_raised(model_dir, good, tmp_path):
    np.save(tmp_path / "wrong.npy", np.zeros((2, 28, 28), np.uint8))
    before = sorted(tmp_path.rglob("*"))
    result = _predict(model_dir, good, tmp_path / "wrong.npy", "--output", tmp_path / "rows.csv")
    _assert_one_line(
        result,
        f"`{tmp_path / 'wrong.npy'}` must have shape [N, 14, 12, 1] or [N, 14, 12], as the model "
        "reads it, but it has shape [2, 28, 28]. Arrays are taken as they are; image files are "
        "resized.",
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_folder_without_a_model_exception_raised(good, tmp_path):
    result = _predict(good, good, "--output", tmp_path / "rows.csv")
    _assert_one_line(
        result,
        f"`{good}` holds no model: it has no sub-folder named by a version number. "
        f"Write one with `stn-tf export RUN --out {good}`.",
    )


def test_damaged_model_exception_raised(model_dir, good, tmp_path):
    shutil.copytree(model_dir, tmp_path / "model")
    path = tmp_path / "model" / "1" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # One bit, which may be a weight: it would still load.
    path.write_bytes(content)
    result = _predict(tmp_path / "model", good, "--output", tmp_path / "rows.csv")
    _assert_one_line(
        result,
        f"`{path}` is damaged: it is not the file that was exported (its SHA-256 differs from the "
        "manifest's). Copy it again or run `stn-tf export`.",
    )


def test_output_of_another_format_is_wrong_usage(model_dir, good, tmp_path):
    result = _predict(model_dir, good, "--output", tmp_path / "rows.xlsx")
    assert result.exit_code == 2
    assert "must end in one of .jsonl, .csv, .parquet" in result.stderr


def test_onnx_is_predicted_without_tensorflow(model_dir, good, tmp_path, root):
    script = (
        "import sys\n"
        "from stn_tf.cli.main import main\n"
        "main(sys.argv[1:], standalone_mode=False)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    arguments = ["predict", model_dir, good, "--output", tmp_path / "rows.parquet"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "rows.parquet").is_file()
