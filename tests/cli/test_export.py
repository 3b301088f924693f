"""`stn-tf export` on a real run, a few steps long."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner, Result

from stn_tf.cli.main import main
from stn_tf.layers import SpatialTransformer
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


def _saved(tmp_path: Path, sampler: bool = True) -> Path:
    images = keras.Input((9, 8, 1), name="images")
    localisation = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)])
    crops = SpatialTransformer(localisation, "attention", (5, 5))(images) if sampler else images
    model = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(crops)))
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def test_a_keras_file_with_images_for_every_fleet(tmp_path):
    np.save(tmp_path / "images.npy", np.random.default_rng(0).uniform(size=(12, 9, 8, 1)))
    arguments = ["--images", tmp_path / "images.npy", "--triton", tmp_path / "triton"]
    arguments += ["--serving-config", tmp_path / "config", "--target", "tensorrt"]
    result = _export(_saved(tmp_path), "--out", tmp_path / "mine", *arguments, "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["parity"]
    assert any(row["case"] == "real images, batch 7" for row in rows)
    manifest = json.loads((tmp_path / "mine/1/assets.extra/stn_tf.json").read_text("utf-8"))
    assert manifest["onnx"] == {
        "target": "tensorrt",
        "sampler": "standard",
        "opset": 18,
        "precision": "float32",
    }
    same = (tmp_path / "mine/1/model.onnx").read_bytes()
    assert (tmp_path / "triton/mine/1/model.onnx").read_bytes() == same
    assert (tmp_path / "triton/mine/config.pbtxt").exists()
    assert 'name: "mine"' in (tmp_path / "config/models.config").read_text("utf-8")
    assert "max_batch_size" in (tmp_path / "config/batching.config").read_text("utf-8")


def test_a_model_without_a_sampler_is_exported_with_a_note(tmp_path):
    result = _export(_saved(tmp_path, sampler=False), "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "Note: the model has no sampler" in result.stderr
    assert (tmp_path / "out/1/model.onnx").exists()


def test_precision_prints_what_it_costs(run_dir, tmp_path):
    arguments = ["--precision", "float16", "--max-accuracy-drop", "5"]
    result = _export(run_dir, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 0, result.output
    run = Run(run_dir)
    assert f"float32 {run.report['error_percent']:.2f} %, on 359 images" in result.stdout


def test_what_a_target_cannot_do_is_refused_before_anything_is_written(run_dir, tmp_path):
    out = tmp_path / "out"
    result = _export(run_dir, "--out", out, "--target", "tensorrt", "--opset", "20")
    _assert_one_line(result, "`opset` must be at most 19 for target tensorrt")
    assert not out.exists()


def test_validate(run_dir, tmp_path):
    assert _export(run_dir, "--out", tmp_path / "out").exit_code == 0
    result = CliRunner().invoke(main, ["validate", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "samplers on CPUExecutionProvider" in result.stdout
    (tmp_path / "out/1/variables/variables.index").write_bytes(b"")
    again = CliRunner().invoke(main, ["validate", str(tmp_path / "out"), "--json"])
    assert again.exit_code == 1


def test_validate_finds_a_changed_model(run_dir, tmp_path):
    assert _export(run_dir, "--out", tmp_path / "out").exit_code == 0
    model = onnx.load(tmp_path / "out/1/model.onnx")
    model.doc_string = "another"
    onnx.save(model, tmp_path / "out/1/model.onnx")
    result = CliRunner().invoke(main, ["validate", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["changed"] == ["model.onnx"]
    assert all(row["largest_difference"] <= row["tolerance"] for row in found["parity"])
    assert found["placement"]["samplers"] == ["CPUExecutionProvider"]
