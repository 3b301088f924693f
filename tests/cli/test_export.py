"""`stn-tf export` on a real run, a few steps long."""

import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner, Result

from stn_tf.cli.main import main
from stn_tf.experiments import Run, load_experiment, train
from stn_tf.layers import SpatialTransformer


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
    assert manifest["interface"]["class_names"] == list(run.classes)
    assert manifest["interface"]["inputs"][0]["value_range"] == [0.0, 1.0]
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
    # What was decided for the user may be said before.
    *notes, last = result.stderr.splitlines()
    assert all(line.startswith("Note: ") for line in notes)
    assert last.startswith("Error: ")
    for part in parts:
        assert part in last


def test_no_run(tmp_path):
    result = _export(tmp_path / "nothing", "--out", tmp_path / "out")
    _assert_one_line(result, f"`{tmp_path / 'nothing'}`")
    assert list(tmp_path.iterdir()) == []


def test_damaged_run(run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / "run")
    for data in (tmp_path / "run" / "checkpoints").rglob("*.data-*"):
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


def _interface(out: Path) -> dict[str, Any]:
    text = (out / "1/assets.extra/stn_tf.json").read_text("utf-8")
    return json.loads(text)["interface"]


def test_arrays_of_bytes_are_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 8, 1)).astype(np.uint8)
    np.savez(tmp_path / "held_out.npz", images=pixels, labels=np.zeros(12))
    arguments = ["--images", tmp_path / "held_out.npz", "--input-range", "0", "1"]
    result = _export(_saved(tmp_path), "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "out/1/assets.extra/stn_tf_parity.npz") as record:
        np.testing.assert_allclose(record["1/feed/images"], pixels[1:3] / 255.0, atol=1e-7)


def test_what_is_not_said_is_undecided_and_said_so(tmp_path):
    result = _export(_saved(tmp_path), "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    interface = _interface(tmp_path / "out")
    assert (interface["task"], interface["class_names"]) == ("none", [])
    assert interface["inputs"][0]["value_range"] is None
    assert next(spec["name"] for spec in interface["outputs"]) == "output"
    notes = json.loads(result.stdout)["notes"]
    assert result.stderr.splitlines() == [f"Note: {note}" for note in notes]
    assert sum("--input-range" in note for note in notes) == 1
    assert sum("--task" in note for note in notes) == 1


def test_what_is_declared_is_written(tmp_path):
    (tmp_path / "classes.txt").write_text("ant\n\n  bee \nköter\n", encoding="utf-8")
    declared = ["--classes", tmp_path / "classes.txt", "--input-range", "0", "255"]
    declared += ["--input-mean", "127.5", "--input-std", "64", "--resize", "squash"]
    declared += ["--name", "insects", "--tolerance", "1e-3"]
    result = _export(_saved(tmp_path), "--out", tmp_path / "out", *declared, "--json")
    assert result.exit_code == 0, result.output
    interface = _interface(tmp_path / "out")
    assert interface["task"] == "classification"
    assert interface["class_names"] == ["ant", "bee", "köter"]
    (spec,) = interface["inputs"]
    assert (spec["value_range"], spec["mean"], spec["std"]) == ([0.0, 255.0], [127.5], [64.0])
    assert spec["resize"] == "squash"
    manifest = json.loads((tmp_path / "out/1/assets.extra/stn_tf.json").read_text("utf-8"))
    assert (manifest["model"], manifest["tolerance"]) == ("insects", 1e-3)
    assert "serving_bytes" in manifest["signatures"]
    metadata = onnx.load(tmp_path / "out/1/model.onnx").metadata_props
    assert json.loads({p.key: p.value for p in metadata}["class_names"]) == ["ant", "bee", "köter"]


def test_names_of_classes_that_are_longer_than_a_path_may_be(tmp_path):
    names = [f"class {number} {'x' * 200}" for number in range(3)]
    arguments = ["--classes", ", ".join(names)]
    result = _export(_saved(tmp_path), "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 0, result.output
    assert _interface(tmp_path / "out")["class_names"] == names


def test_free_sizes_are_declared_with_a_question_mark(tmp_path):
    images = keras.Input((None, None, 1), name="images")
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))
    model.save(tmp_path / "model.keras")
    out = tmp_path / "out"
    arguments = ["--input-shape", "?x20x1", "--task", "embedding"]
    result = _export(tmp_path / "model.keras", "--out", out, *arguments)
    assert result.exit_code == 0, result.output
    interface = _interface(out)
    assert interface["inputs"][0]["shape"] == [None, None, 20, 1]
    assert interface["task"] == "embedding"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input-mean", "1,b"], "'1,b' must be numbers separated by commas."),
        (["--input-shape", "9,b,1"], "'9,b,1' must be sizes such as 224,224,3"),
        (["--input-range", "0"], "2 arguments"),
        (["--task", "cooking"], "'cooking' is not one of 'classification'"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(arguments, message, tmp_path):
    result = _export(tmp_path / "model.keras", "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes", "a,b"], "`classes` must name the 3 classes of the model, but it names 2"),
        (["--input-range", "1", "0"], "`input_range` must be two numbers"),
        (["--input-std", "0"], "`input_std` must be one number or one a channel, each above 0"),
        (["--input-shape", "9,9,1"], "`input_shape` must fit the input `images`"),
        (["--task", "binary"], "`task` must fit the model's outputs: binary needs one output"),
        (["--precision", "int8"], "needs real images, with which it is calibrated"),
        (["--images", "nowhere"], "`nowhere` does not exist"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, message, tmp_path):
    result = _export(_saved(tmp_path), "--out", tmp_path / "out", *arguments)
    _assert_one_line(result, message)
    assert not (tmp_path / "out").exists()


def test_a_run_has_an_interface_of_its_own(run_dir, tmp_path):
    result = _export(run_dir, "--out", tmp_path / "out", "--input-range", "0", "255")
    _assert_one_line(result, "`input_range` must be (0.0, 1.0) as in the run, which knows what")
    # A name that was mistyped is no run.
    missing = tmp_path / "modle.keras"
    result = _export(missing, "--out", tmp_path / "out", "--input-range", "0", "255")
    _assert_one_line(result, f"`{missing}`")


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
