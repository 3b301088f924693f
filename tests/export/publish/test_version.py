"""A version appears whole and true, or not at all."""

import hashlib
import json
import resource
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.errors import ExportError, InputError, ParityError
from stn_tf.export import export_model


def test_version_holds_every_file(exported):
    files = {
        path.relative_to(exported.version_dir).as_posix()
        for path in exported.version_dir.rglob("*")
        if path.is_file()
    }
    assert files == {
        "saved_model.pb",
        "fingerprint.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "model.onnx",
        "assets.extra/stn_tf.json",
        "assets.extra/stn_tf_parity.npz",
        "assets.extra/tf_serving_warmup_requests",
    }
    assert exported.version_dir == exported.out / "1"
    assert [path.name for path in exported.out.iterdir()] == ["1"]


def test_manifest_tells_the_truth(exported, images):
    text = (exported.version_dir / "assets.extra" / "stn_tf.json").read_text(encoding="utf-8")
    manifest = json.loads(text)
    assert manifest["format"] == 2
    assert manifest["experiment"] == "unit"
    assert manifest["model"] == "small"
    assert manifest["error_percent"] == 12.5
    assert manifest["tolerance"] is None
    interface = manifest["interface"]
    assert interface["task"] == "classification"
    assert interface["class_names"] == ["ant", "bee", "cat", "dög"]
    assert interface["inputs"] == [
        {
            "name": "images",
            "dtype": "float32",
            "shape": [None, 14, 12, 1],
            "layout": "NHWC",
            "color_space": "grayscale",
            "value_range": [0.0, 1.0],
            "mean": [0.0],
            "std": [1.0],
            "resize": "letterbox",
            "crop_pct": 1.0,
            "pad_value": 0.0,
            "interpolation": "bicubic",
            "antialias": True,
        }
    ]
    outputs = [
        ("logits", "float32", [None, 4], "logits", False),
        ("probabilities", "float32", [None, 4], "probabilities", True),
        ("class", "int64", [None], "class", True),
        ("theta", "float32", [None, 2, 3], "theta", False),
        ("corners", "float32", [None, 4, 2], "corners", False),
        ("crops", "float32", [None, 8, 9, 1], "crops", False),
    ]
    keys = ("name", "dtype", "shape", "meaning", "derived")
    assert interface["outputs"] == [
        {**dict(zip(keys, values, strict=True)), "half": None} for values in outputs
    ]
    assert manifest["samplers"] == [
        {
            "transform": "affine",
            "options": {},
            "kernel": "bilinear",
            "padding": "zeros",
            "align_corners": False,
            "antialias": 1,
            "input_size": [14, 12],
            "output_size": [8, 9],
            "reads_images": True,
            "depth": 1,
        }
    ]
    assert manifest["versions"]["tensorflow"] == tf.__version__
    assert manifest["signatures"]["localize"] == ["theta", "corners"]
    for name, expected in manifest["sha256"].items():
        content = (exported.version_dir / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == expected, name
    assert set(manifest["sha256"]) == {
        path.relative_to(exported.version_dir).as_posix()
        for path in exported.version_dir.rglob("*")
        if path.is_file() and path.name != "stn_tf.json"
    }


def test_parity_covers_every_output_and_runtime(exported, images):
    rows = exported.result.manifest.parity
    assert all(row.passed for row in rows)
    outputs = {"logits", "probabilities", "class", "theta", "corners", "crops"}
    cases = {f"real images, batch {size}" for size in (1, 2, 7)} | {"adversarial images, batch 7"}
    files = ("saved_model", "onnx_runtime", "onnx_runtime/unoptimised", "onnx_runtime/ours")
    for candidate in files:
        found = {(row.output, row.case) for row in rows if row.candidate == candidate}
        assert found >= {(output, case) for output in outputs for case in cases}, candidate
    encoded = {
        (row.output, row.case) for row in rows if row.candidate == "saved_model/serving_bytes"
    }
    pictures = {f"real images, {what}" for what in ("PNG", "larger PNG", "larger JPEG")}
    told = {"logits", "probabilities", "pixels", "pixels, mean"}
    assert encoded >= {(output, case) for output in told for case in pictures}
    assert ("class", "real images, PNG") in encoded
    model = exported.model
    for size, start in ((1, 0), (2, 1), (7, 3)):
        largest = float(np.abs(model(images[start : start + size])).max())
        (tolerance,) = {
            row.tolerance
            for row in rows
            if (row.output, row.case) == ("logits", f"real images, batch {size}")
        }
        # Relative to the largest of the numbers, which are not small here.
        assert tolerance == pytest.approx(1e-4 * max(0.1, largest), rel=1e-5)
    samplers = {row.case.split(" (")[0] for row in rows if row.output == "grid_sample"}
    assert {"identity", "half-pixel shift", "exact border", "far outside"} <= samplers
    assert any("NaN" in case for case in samplers)


def test_next_version_number(tmp_path, classifier):
    for taken in ("2", "00000007", "not-a-number"):
        (tmp_path / taken).mkdir()
    result = export_model(classifier(transform=None), tmp_path)
    assert result.version_dir == tmp_path / "8"


def test_network_without_transformer(tmp_path, classifier):
    declared = {"task": "classification", "input_range": (0, 1)}
    result = export_model(classifier(transform=None), tmp_path, **declared)
    outputs = ("logits", "probabilities", "class")
    assert result.manifest.signatures == {"serving_default": outputs, "serving_bytes": outputs}
    assert result.manifest.samplers == ()
    compared = {row.output for row in result.manifest.parity}
    assert compared == {*outputs, "pixels", "pixels, mean"}
    assert result.manifest.interface.class_names == ("0", "1", "2", "3")


def test_nothing_is_made_up_for_a_model_of_which_nothing_is_said(tmp_path, classifier):
    notes = []
    result = export_model(classifier(transform=None), tmp_path, on_note=notes.append)
    assert result.manifest.signatures == {"serving_default": ("logits",)}
    interface = result.manifest.interface
    assert (interface.task, interface.class_names) == ("none", ())
    assert interface.inputs[0].value_range is None
    assert {row.output for row in result.manifest.parity} == {"logits"}
    assert [note.split(" ")[:2] for note in notes] == [["The", "range"], ["Task", "undecided:"]]
    assert tuple(notes) == result.notes


class _Noisy(keras.layers.Layer):
    """Answers differently each time, so that no file can agree with it."""

    def call(self, features: tf.Tensor) -> tf.Tensor:
        return features + tf.random.uniform(tf.shape(features))


def test_failed_parity_leaves_nothing(tmp_path):
    images = keras.Input((6, 6, 1))
    logits = keras.layers.Dense(3)(_Noisy()(keras.layers.Flatten()(images)))
    shown = []
    with pytest.raises(
        ParityError, match=r"^`output` of \w+(/\w+)? differs .* Nothing was written.*\.$"
    ):
        export_model(keras.Model(images, logits), tmp_path / "a" / "b", on_parity=shown.extend)
    assert list(tmp_path.iterdir()) == []
    assert any(not row.passed for row in shown)


def test_model_with_nan_weights_is_refused(tmp_path, classifier):
    model = classifier(transform=None)
    model.get_layer("logits").bias.assign([np.nan, 0.0, 0.0, 0.0])
    with pytest.raises(ParityError, match="by nan on"):
        export_model(model, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_nothing(tmp_path, classifier):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel refuses to let any file grow beyond this, as a full disk would.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(
            ExportError, match=r"^The export cannot be written to `.*small`: File too large\. "
        ) as e:
            export_model(classifier(), tmp_path / "small")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(e.value)
    assert list(tmp_path.iterdir()) == []


def test_classes_must_fit(tmp_path, classifier):
    with pytest.raises(ExportError, match=r"`classes` must name the 4 classes .* it names 2"):
        export_model(classifier(transform=None), tmp_path / "out", classes=["a", "b"])
    with pytest.raises(ExportError, match="`classes` must be different names, but 'a' is there"):
        export_model(classifier(transform=None), tmp_path / "out", classes=["a", "b", "a", "c"])
    assert list(tmp_path.iterdir()) == []


def test_images_must_fit(tmp_path: Path, classifier):
    model, out = classifier(transform=None), tmp_path / "out"
    wrong = np.zeros((3, 12, 14, 1), np.float32)
    with pytest.raises(ExportError, match=r"`images` must have shape \[N, 14, 12, 1\]"):
        export_model(model, out, images=wrong)
    bright = np.linspace(0, 255, 168, dtype=np.float32).reshape(1, 14, 12, 1)
    with pytest.raises(InputError, match=r"`images` must hold values in 0..1, .* from 0 to 255"):
        export_model(model, out, images=bright, input_range=(0, 1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tolerance", [0.0, 1.0, float("nan")])
def test_tolerance_must_be_a_share(tolerance, tmp_path, classifier):
    with pytest.raises(ExportError, match=r"`tolerance` must lie between 0 and 1, .* it is"):
        export_model(classifier(transform=None), tmp_path / "out", tolerance=tolerance)
    assert list(tmp_path.iterdir()) == []


class _Zoom(keras.layers.Layer):
    """A user's own layer around the sampler, without a spatial transformer."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        theta = tf.tile(tf.constant([[0.5, 0.1, 0.0]]), [tf.shape(images)[0], 1])
        return stn_tf.warp(images, theta, (5, 5), transform="attention", padding="border")


def test_sampler_without_transformer_is_compared_too(tmp_path):
    images = keras.Input((9, 9, 1))
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(_Zoom()(images)))
    result = export_model(keras.Model(images, logits), tmp_path)
    assert result.manifest.samplers == ()
    cases = [row.case for row in result.manifest.parity if row.output == "grid_sample"]
    assert "identity (bilinear, border, align_corners=False)" in cases
