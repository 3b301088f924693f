"""What stn-tf 0.1.0 wrote: its version is validated and exported again, its run goes on."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from stn_tf.errors import RunError
from stn_tf.experiments import Run, evaluate
from stn_tf.experiments.report import weights_sha256
from stn_tf.export import export_model, export_run, read_manifest
from stn_tf.export.proof.validation import validate

NAMES = ("ant", "bee", "cat", "dög")


def _unpacked(root: Path, folder: Path, name: str) -> Path:
    with tarfile.open(root / "tests" / "fixtures" / f"{name}-0.1.0.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / name


@pytest.fixture
def version(root: Path, tmp_path: Path) -> Path:
    return _unpacked(root, tmp_path, "version") / "1"


@pytest.fixture
def run_dir(root: Path, tmp_path: Path) -> Path:
    return _unpacked(root, tmp_path, "run")


def test_it_validates(version):
    found = validate(version)
    assert found.passed
    assert found.changed == ()
    old = json.loads((version / "assets.extra" / "stn_tf.json").read_text("utf-8"))
    # The same outputs and cases as then, and none is off by more than was allowed then.
    allowed = {
        (row["output"], row["case"]): row["tolerance"]
        for row in old["parity"]
        if row["candidate"] == "saved_model"
    }
    for candidate in ("saved_model", "onnx_runtime", "onnx_runtime/ours"):
        rows = [row for row in found.parity if row.candidate == candidate]
        assert {(row.output, row.case) for row in rows} == set(allowed)
        for row in rows:
            assert row.largest_difference <= allowed[row.output, row.case]


def test_a_changed_file_of_it_is_found(version):
    file = version / "model.onnx"
    whole = file.read_bytes()
    kernel = _logits_kernel(version)
    assert whole.count(kernel.tobytes()) == 1
    changed = kernel.copy()
    changed[40, 2] += 0.05  # Of the pixel in the middle, (4, 4), of the crops.
    file.write_bytes(whole.replace(kernel.tobytes(), changed.tobytes()))
    found = validate(version)
    assert found.changed == ("model.onnx",)
    failed = {row.candidate for row in found.parity if not row.passed}
    assert failed == {"onnx_runtime", "onnx_runtime/unoptimised", "onnx_runtime/ours"}


def _logits_kernel(version: Path) -> np.ndarray:
    checkpoint = str(version / "variables" / "variables")
    variables = tf.train.list_variables(checkpoint)
    (name,) = [name for name, shape in variables if shape == [72, 4]]
    return tf.train.load_variable(checkpoint, name).astype("<f4")


def test_its_manifest_is_read(version):
    manifest = read_manifest(version)
    assert (manifest.format, manifest.model, manifest.experiment) == (2, "small", "unit")
    assert manifest.error_percent == 12.5
    interface = manifest.interface
    assert (interface.task, interface.class_names) == ("classification", NAMES)
    assert interface.takes_images
    image = interface.image
    assert (image.name, image.dtype, image.shape) == ("images", "float32", (None, 14, 12, 1))
    assert (image.layout, image.color_space) == ("NHWC", "grayscale")
    assert (image.value_range, image.mean, image.std) == ((0.0, 1.0), (0.0,), (1.0,))
    assert (image.resize, image.pad_value, image.interpolation) == ("letterbox", 0.0, "bicubic")
    assert {spec.name: (spec.meaning, spec.derived) for spec in interface.outputs} == {
        "logits": ("logits", False),
        "probabilities": ("probabilities", True),
        "class": ("class", True),
        "theta": ("theta", False),
        "corners": ("corners", False),
        "crops": ("crops", False),
    }
    (sampler,) = manifest.samplers
    assert sampler.reads_images
    assert (sampler.input_size, sampler.output_size) == ((14, 12), (8, 9))
    # Types as the SavedModel itself has them.
    for signature, outputs in manifest.signatures.items():
        function = tf.saved_model.load(str(version)).signatures[signature]
        assert set(function.structured_outputs) == set(outputs)
        for name, tensor in function.structured_outputs.items():
            assert interface.output(name).dtype == tensor.dtype.name


def test_it_is_exported_again(version, tmp_path):
    with np.load(version.parent / "answers.npz") as answers:
        images, logits = answers["images"], answers["logits"]
    declared = {"classes": NAMES, "input_range": (0, 1)}
    result = export_model(version, tmp_path / "out", images=images, **declared)
    session = onnxruntime.InferenceSession(
        result.version_dir / "model.onnx", providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(["logits"], {"images": images})
    np.testing.assert_allclose(found, logits, atol=1e-4)


@pytest.mark.slow
def test_its_run_is_loaded_evaluated_and_exported(run_dir, tmp_path):
    run = Run(run_dir)
    assert run.interface.inputs[0].shape == (None, 42, 42, 1)
    assert run.classes == tuple("0123456789")
    assert run.report is None  # It was stopped at half of its steps.
    model = run.load_model()
    # What was measured when the checkpoint was written.
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    (then,) = [v for line in lines if (v := line.get("validation_error_percent")) is not None]
    images, labels = run.examples("validation")
    now = np.mean(model(images, training=False).numpy().argmax(axis=1) != labels)
    assert 100 * now == pytest.approx(then, abs=1e-9)

    images, labels = run.examples("test")
    logits = model(images, training=False).numpy()
    evaluation = evaluate(run)
    np.testing.assert_array_equal(evaluation.confusion.sum(axis=1), np.bincount(labels))
    picked = logits.argmax(axis=1)
    np.testing.assert_array_equal(
        evaluation.confusion.sum(axis=0), np.bincount(picked, minlength=10)
    )

    result = export_run(run_dir, tmp_path / "out")
    interface = result.manifest.interface
    assert (interface.task, interface.class_names) == ("classification", run.classes)
    assert interface.image.value_range == (0.0, 1.0)
    assert set(result.manifest.signatures) == {
        "serving_default",
        "serving_bytes",
        "localize",
        "rectify",
    }
    session = onnxruntime.InferenceSession(
        result.version_dir / "model.onnx", providers=["CPUExecutionProvider"]
    )
    found, classes = session.run(["logits", "class"], {"images": images})
    np.testing.assert_allclose(found, logits, atol=1e-4)
    order = np.sort(logits, axis=1)
    clear = order[:, -1] - order[:, -2] > 1e-3
    np.testing.assert_array_equal(classes[clear], picked[clear])
    assert clear.mean() > 0.9


@pytest.mark.slow
def test_its_run_is_resumed(run_dir, root):
    before = Run(run_dir).load_model().get_weights()
    # In a process of its own: it is deterministic, which cannot be taken back.
    command = [sys.executable, "-m", "stn_tf.cli.main", "train", str(run_dir / "config.toml")]
    done = subprocess.run(
        [*command, "--resume", "--json"], cwd=root, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    run = Run(run_dir)
    assert json.loads(done.stdout) == run.report
    assert run.report["steps"] == 6
    assert (run_dir / "checkpoints" / "step-6" / "state.json").exists()
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    losses = {line["step"]: line["loss"] for line in lines if "loss" in line}
    assert list(losses) == [1, 3, 4, 6]
    validations = {
        line["step"]: line["validation_error_percent"]
        for line in lines
        if "validation_error_percent" in line
    }
    # It learns nothing at a rate of 1e-30: weights that went on from those of step 3 stay theirs.
    assert validations[6] == validations[3]
    after = run.load_model()
    assert run.report["weights_sha256"] == weights_sha256(after)
    for one, other in zip(before, after.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-25)
    assert any(np.any(weights) for weights in before)
    # The description of the network is written as it is now, and says the same.
    network = json.loads((run_dir / "network.json").read_text("utf-8"))
    assert network["task"] == "classification"
    assert network["class_names"] == list("0123456789")


@pytest.mark.slow
def test_its_run_is_not_resumed_on_other_data(run_dir, root):
    (run_dir / "network.json").write_text('{"input_shape": [28, 28, 1], "classes": ["a", "b"]}')
    command = [sys.executable, "-m", "stn_tf.cli.main", "train", str(run_dir / "config.toml")]
    done = subprocess.run(
        [*command, "--resume"], cwd=root, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 1
    assert "was started on other data: image size or classes differ" in done.stderr


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"input_shape": 5}', '{"input_shape": [4, 4, 1]}', '{"classes": ["a"]}']
)
def test_a_damaged_description_of_a_network(text, run_dir):
    (run_dir / "network.json").write_text(text)
    with pytest.raises(RunError, match=r"network\.json` cannot be read: ") as error:
        Run(run_dir)
    assert "\n" not in str(error.value)
