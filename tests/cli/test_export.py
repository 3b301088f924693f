"""`stn-tf export` on a real run, a few steps long."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner, Result

from stn_tf.cli.main import main
from stn_tf.training import Run, load_experiment, train


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "digits"
    # In this process, so without deterministic operations for other tests.
    settings = ["steps=3", "batch_size=16", "deterministic=false"]
    train(load_experiment("digits-rts", settings), out, progress=False)
    return out


def _export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_prints_the_comparison_and_the_folder(run_dir, tmp_path):
    result = _export(run_dir, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[-1] == str(tmp_path / "out" / "1")
    for output in ("logits", "probabilities", "class", "theta", "corners", "crops", "grid_sample"):
        assert any(line.split()[:1] == [output] for line in lines), output

    run = Run(run_dir)
    manifest = json.loads((tmp_path / "out/1/assets.extra/stn_tf.json").read_text("utf-8"))
    assert manifest["experiment"] == "digits-rts"
    assert manifest["classes"] == list(run.classes)
    assert manifest["error_percent"] == run.report["error_percent"]
    images, _ = run.examples("test", 20)
    session = onnxruntime.InferenceSession(
        tmp_path / "out/1/model.onnx", providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(["logits"], {"images": images})
    np.testing.assert_allclose(logits, run.load_model()(images), atol=1e-4)


def test_json(run_dir, tmp_path):
    (tmp_path / "4").mkdir()
    result = _export(run_dir, "--out", tmp_path, "--json")
    answer = json.loads(result.stdout)
    assert answer["version_dir"] == str(tmp_path / "5")
    assert {row["candidate"] for row in answer["parity"]} >= {"saved_model", "onnx_runtime"}
    assert all(row["largest_difference"] <= row["tolerance"] for row in answer["parity"])


def _assert_one_line(result: Result, *parts: str) -> None:
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    for part in parts:
        assert part in result.stderr


def test_no_run(tmp_path):
    result = _export(tmp_path / "nothing", "--out", tmp_path / "out")
    _assert_one_line(result, f"`{tmp_path / 'nothing'}`")
    assert list(tmp_path.iterdir()) == []


def test_damaged_run(run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "run")
    (data,) = (tmp_path / "run" / "checkpoints").glob("*.data-*")
    data.write_bytes(data.read_bytes()[:1000])
    result = _export(tmp_path / "run", "--out", tmp_path / "out")
    _assert_one_line(result)
    assert not (tmp_path / "out").exists()


def test_out_is_a_file(run_dir, tmp_path):
    (tmp_path / "out").touch()
    result = _export(run_dir, "--out", tmp_path / "out")
    _assert_one_line(result, "cannot be written", str(tmp_path / "out"))


def test_out_is_required(run_dir):
    result = _export(run_dir)
    assert result.exit_code == 2
    assert "--out" in result.stderr
