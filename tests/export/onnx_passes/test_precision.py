"""Files in float16 and int8: what they cost is measured, and what must stay float32 does."""

import functools
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

from stn_tf.errors import ExportError, ParityError
from stn_tf.export import ExportOptions, ExportResult, OnnxOptions, export_model
from stn_tf.export.onnx_passes.find import samplers_in
from stn_tf.export.proof.accuracy import require_accuracy
from stn_tf.export.proof.runtimes.onnx_runtime import onnx_runtime
from stn_tf.export.proof.validation import validate
from stn_tf.export.publish.manifest import Accuracy


@pytest.fixture(scope="module")
def published(exported, images, tmp_path_factory):
    """The small model in a precision and a form, exported once for all that read it."""

    @functools.cache
    def made(precision: str, form: str = "dual") -> ExportResult:
        options = ExportOptions(
            onnx=OnnxOptions(sampler=form), precision=precision, max_accuracy_drop=100.0
        )
        declared = {"images": images, "options": options, "task": "classification"}
        out = tmp_path_factory.mktemp(f"{precision}_{form}") / "out"
        return export_model(exported.model, out, **declared)

    return made


def _export(exported, images, out, precision, **options):
    choices = ExportOptions(precision=precision, max_accuracy_drop=options.pop("drop", 100.0))
    options.setdefault("task", "classification")
    return export_model(exported.model, out, images=images, options=choices, **options)


def _types(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model)
    values = (*inferred.graph.value_info, *inferred.graph.input)
    return {value.name: value.type.tensor_type.elem_type for value in values}


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("ours", [False, True])
def test_answers_are_near(precision, ours, exported, images, published):
    result = published(precision)
    assert result.manifest.onnx.precision == precision
    options = onnxruntime.SessionOptions()
    if ours:
        from stn_tf import native

        options.register_custom_ops_library(native.onnxruntime_library_path())
    session = onnxruntime.InferenceSession(
        result.version_dir / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    logits, theta = session.run(["logits", "theta"], {"images": images})
    live = exported.model(images).numpy()
    difference = np.abs(logits - live).max()
    assert 0 < difference < (0.02 if precision == "float16" else 0.3)
    assert result.manifest.accuracy.largest_difference == pytest.approx(difference, rel=0.05)
    assert theta.dtype == logits.dtype == np.float32


@pytest.mark.slow
@pytest.mark.parametrize("form", ["dual", "standard"])
def test_points_are_never_rounded_to_float16(form, published):
    model = onnx.load(published("float16", form).version_dir / "model.onnx")
    made = {name: node for node in model.graph.node for name in node.output}
    types = _types(model)
    (sampler,) = samplers_in(model)
    waiting, seen = [sampler.input[1]], 0
    while waiting:
        name = waiting.pop()
        node = made.get(name)
        if node is None:
            continue
        seen += 1
        assert types[name] != onnx.TensorProto.FLOAT16, name
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            waiting.extend(node.input)
    assert seen >= 2


def test_float16_keeps_theta_and_the_sampler(published):
    model = onnx.load(published("float16").version_dir / "model.onnx")
    types = _types(model)
    (sampler,) = samplers_in(model)
    assert {types[name] for name in sampler.input} == {onnx.TensorProto.FLOAT}
    # Of the logits: 8 x 9 pixels for 4 classes.
    weights = [t.data_type for t in model.graph.initializer if list(t.dims) == [72, 4]]
    assert weights == [onnx.TensorProto.FLOAT16]


def test_int8_keeps_the_localisation(published):
    model = onnx.load(published("int8").version_dir / "model.onnx")
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("QuantizeLinear") >= 1
    made = {name: node for node in model.graph.node for name in node.output}
    (sampler,) = samplers_in(model)
    waiting, seen = [sampler.input[1]], set()
    while waiting:
        node = made.get(waiting.pop())
        if node is not None and node.name not in seen:
            seen.add(node.name)
            assert "Quantize" not in node.op_type
            waiting.extend(node.input)
    assert any(made[name].op_type == "Conv" for name in made if made[name].name in seen)


def test_a_loss_beyond_what_is_allowed_is_refused(classifier, tmp_path):
    # Many images near the borders between classes, some of which int8 tells otherwise than
    # float32, which is right about all.
    images = np.random.default_rng(9).uniform(size=(600, 14, 12, 1)).astype(np.float32)
    model = classifier()
    model.get_layer("logits").bias.assign_sub(model(images).numpy().mean(axis=0))
    labels = model(images).numpy().argmax(axis=1)

    def export(out: Path, drop: float) -> ExportResult:
        options = ExportOptions(precision="int8", max_accuracy_drop=drop)
        told = {"images": images, "labels": labels, "task": "classification"}
        return export_model(model, out, options=options, **told)

    lost = export(tmp_path / "any", 100.0).manifest.accuracy
    assert lost.float32_error_percent == 0.0
    assert lost.error_percent > 0.0
    out = tmp_path / "out"
    with pytest.raises(ExportError, match=r"`precision` int8 loses .* points .* on 600 images"):
        export(out, lost.error_percent / 2)
    assert not out.exists()


def test_a_loss_of_nothing_is_none():
    same = Accuracy(
        images=10,
        error_percent=20.0,
        float32_error_percent=20.0,
        largest_difference=0.1,
        labelled=True,
    )
    require_accuracy(same, "int8", 0.0)
    worse = same.model_copy(update={"error_percent": 30.0})
    require_accuracy(worse, "int8", 10.0)
    with pytest.raises(ExportError, match=r"loses 10\.00 points .* \(20\.00 % -> 30\.00 %"):
        require_accuracy(worse, "int8", 9.9)


def test_error_is_of_the_true_labels(exported, images, tmp_path):
    wrong = (exported.model(images).numpy().argmax(axis=1) + 1) % 4
    result = _export(exported, images, tmp_path, "float16", labels=wrong)
    accuracy = result.manifest.accuracy
    assert accuracy.labelled
    assert accuracy.images == 10
    assert accuracy.float32_error_percent == 100.0
    assert accuracy.error_percent == 100.0


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_what_is_no_classifier_is_compared_all_the_same(precision, tmp_path):
    keras.utils.set_random_seed(6)
    images = keras.Input((6, 6, 1))
    maps = keras.layers.Conv2D(4, 3, activation="relu")(images)
    model = keras.Model(images, keras.layers.Conv2D(2, 3)(maps))
    values = np.random.default_rng(2).uniform(size=(10, 6, 6, 1)).astype(np.float32)
    options = ExportOptions(precision=precision)
    result = export_model(model, tmp_path / "out", images=values, options=options)
    assert result.manifest.accuracy is None
    assert validate(result.version_dir).passed
    file = (result.version_dir / "model.onnx").read_bytes()
    (answers,) = onnx_runtime(file)({"images": values}).values()
    expected = model(values).numpy()
    difference = np.abs(answers - expected).max() / np.abs(expected).max()
    assert 0 < difference < (0.01 if precision == "float16" else 0.1)
    # What the file is off by is what the record says.
    rows = [r for r in result.manifest.parity if r.candidate == "onnx_runtime"]
    assert {r.case for r in rows} == {f"real images, batch {n}" for n in (1, 2, 7)}
    assert all(0 < r.largest_difference <= r.tolerance for r in rows)


def test_files_of_less_precision_that_are_too_far_off_are_refused(exported, images, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ParityError, match=r"^`logits` of onnx_runtime.* Nothing was written.*\.$"):
        _export(exported, images, out, "int8", tolerance=1e-4)
    assert not out.exists()


def test_int8_needs_images_to_be_calibrated_with(exported, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ExportError, match=r"`precision` int8 needs real images, .* --images"):
        _export(exported, None, out, "int8")
    assert not out.exists()


@pytest.mark.parametrize("form", ["standard", "custom"])
def test_every_form_has_every_precision(form, published):
    result = published("float16", form)
    assert result.manifest.accuracy.largest_difference < 0.02
