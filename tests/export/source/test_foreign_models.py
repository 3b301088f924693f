"""Models that nobody here made export as they are: their own outputs, and nothing unasked for."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from PIL import Image

import stn_tf.native
from stn_tf.export import ExportResult, export_model
from stn_tf.serving.jobs import predict
from stn_tf.serving.models import load_engine
from tests.export.foreign import MODELS, Foreign


@dataclasses.dataclass(frozen=True)
class Exported:
    foreign: Foreign
    truth: Any  # What the user calls.
    result: ExportResult

    def own(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the model itself says, by the names of its outputs."""
        tensors = {name: tf.constant(value) for name, value in feeds.items()}
        (first, *more) = tensors.values()
        options = {"training": False} if isinstance(self.truth, keras.Model) else {}
        output = self.truth(tensors if more else first, **options)
        flat = (
            [output[name] for name in self.foreign.outputs]
            if isinstance(output, dict)
            else keras.tree.flatten(output)
        )
        arrays = [np.asarray(tf.cast(value, tf.float32)) for value in flat]
        return dict(zip(self.foreign.outputs, arrays, strict=True))


def _parameters() -> list[Any]:
    return [
        pytest.param(name, marks=[pytest.mark.slow] if foreign.slow else [])
        for name, foreign in MODELS.items()
    ]


@pytest.fixture(scope="module", params=_parameters())
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    keras.utils.set_random_seed(5)
    foreign = MODELS[request.param]
    built = foreign.build()
    model, truth = built if isinstance(built, tuple) else (built, built)
    out = tmp_path_factory.mktemp(request.param) / "model"
    return Exported(foreign, truth, export_model(model, out, **foreign.declared))


def _close(found: np.ndarray, expected: np.ndarray, half: bool) -> None:
    assert found.shape == expected.shape
    span = max(float(np.ptp(expected)) if expected.size > 1 else 0.0, float(np.abs(expected).max()))
    allowed = 1e-4 * span + (span * 2.0**-7 if half else 0.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=allowed)


def _check(exported: Exported, found: dict[str, np.ndarray], feeds: dict) -> None:
    for name, expected in exported.own(feeds).items():
        spec = exported.result.manifest.interface.output(name)
        _close(np.asarray(found[name]), expected, spec.half is not None)


def test_nothing_unasked_for(exported: Exported) -> None:
    interface = exported.result.manifest.interface
    names = tuple(spec.name for spec in interface.outputs)
    assert names == (*exported.foreign.outputs, *exported.foreign.derived)
    assert interface.task == exported.foreign.task
    assert {spec.name for spec in interface.inputs} == set(exported.foreign.feeds)


@pytest.mark.parametrize("ours", [False, True])
def test_onnx_runtime_says_what_the_model_says(exported: Exported, ours: bool) -> None:
    options = onnxruntime.SessionOptions()
    if ours:
        library = stn_tf.native.onnxruntime_library_path()
        options.register_custom_ops_library(str(library))
    session = onnxruntime.InferenceSession(
        exported.result.version_dir / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    feeds = exported.foreign.values()
    names = [output.name for output in session.get_outputs()]
    assert set(names) == {spec.name for spec in exported.result.manifest.interface.outputs}
    found = dict(zip(names, session.run(names, feeds), strict=True))
    _check(exported, found, feeds)


def test_stock_tensorflow_says_what_the_model_says(exported: Exported) -> None:
    loaded = tf.saved_model.load(str(exported.result.version_dir))
    feeds = exported.foreign.values()
    tensors = {name: tf.constant(value) for name, value in feeds.items()}
    found = loaded.signatures["serving_default"](**tensors)
    _check(exported, {name: value.numpy() for name, value in found.items()}, feeds)


def test_derived_outputs_follow_from_the_model(exported: Exported) -> None:
    foreign, interface = exported.foreign, exported.result.manifest.interface
    if "probabilities" not in foreign.derived:
        pytest.skip("has no classes")
    feeds = foreign.values()
    session = onnxruntime.InferenceSession(
        exported.result.version_dir / "model.onnx", providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(names, feeds), strict=True))
    own = exported.own(feeds)[foreign.outputs[0]].astype(np.float64)
    probabilities = found["probabilities"]
    if interface.task == "binary":
        declared = foreign.declared.get("task") == "binary"
        positive = (1 / (1 + np.exp(-own)) if declared else own)[:, 0]
        np.testing.assert_allclose(probabilities[:, 1], positive, atol=1e-5)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-6)
        np.testing.assert_array_equal(found["class"], positive >= 0.5)
        return
    if foreign.outputs == ("logits",):
        own = np.exp(own - own.max(axis=1, keepdims=True))
        own /= own.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, own, atol=1e-5)
    if "class" in foreign.derived:
        np.testing.assert_array_equal(found["class"], own.argmax(axis=1))


def test_predict_says_what_the_model_says_of_the_pixels(exported: Exported, tmp_path: Path) -> None:
    interface = exported.result.manifest.interface
    if not interface.takes_images or interface.inputs[0].shape[0] is not None:
        pytest.skip("takes no image files")
    if any(spec.shape[:1] != (None,) for spec in interface.outputs):
        pytest.skip("says nothing image by image")
    spec = interface.image
    height, width = (
        length or fallback for length, fallback in zip(spec.size, (21, 34), strict=True)
    )
    pixels = np.random.default_rng(8).integers(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    output = tmp_path / "rows.jsonl"
    engine = load_engine(exported.result.version_dir)
    predict(engine, [tmp_path / "photo.png"], output, probabilities=interface.task != "dense")
    (row,) = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    expected = {
        name: value[0]
        for name, value in exported.own({spec.name: _as_taken(exported, pixels)}).items()
    }
    first = expected[exported.foreign.outputs[0]]
    if interface.task in ("classification", "binary", "multilabel"):
        scores = np.asarray(row["probabilities"])
        if exported.foreign.declared.get("task") == "binary":
            first = 1 / (1 + np.exp(-first))
        if exported.foreign.outputs == ("logits",):
            first = np.exp(first - first.max()) / np.exp(first - first.max()).sum()
        scores = scores[1:] if interface.task == "binary" else scores
        np.testing.assert_allclose(scores, first, atol=1e-4)
    else:
        for name, value in expected.items():
            _close(np.asarray(row[name]), value, interface.output(name).half is not None)


def _as_taken(exported: Exported, pixels: np.ndarray) -> np.ndarray:
    """The pixels in the declared range, by the formula, in float64."""
    declared = exported.foreign.declared
    (kind,) = [kind for _, kind in exported.foreign.feeds.values()]
    if kind == "uint8":
        return pixels[np.newaxis]
    low, high = declared.get("input_range", (0, 255))
    values = low + pixels.astype(np.float64) / 255.0 * (high - low)
    values = (values - np.array(declared.get("input_mean", 0.0))) / np.array(
        declared.get("input_std", 1.0)
    )
    if declared.get("color_space") == "bgr":
        values = values[..., ::-1]
    if exported.result.manifest.interface.image.layout == "NCHW":
        values = np.moveaxis(values, -1, 0)
    return values[np.newaxis].astype(np.float32)
