"""The ONNX file, in ONNX Runtime: one node for each sampler, and the live model's answers."""

import json

import keras
import numpy as np
import onnx as onnx_format
import onnxruntime
import pytest
import tensorflow as tf

import stn_tf
from stn_tf import native
from stn_tf.errors import ExportError
from stn_tf.export import OnnxOptions, onnx, saved_model
from stn_tf.export.conversion.onnx_file import convert
from stn_tf.export.onnx_passes.find import samplers_in
from stn_tf.layers import record_transformations
from tests import reference
from tests.pairs import every_pair

TRANSFORMS = ("affine", "attention", "similarity", "projective", "tps")


def _answers(
    model: onnx_format.ModelProto, *, ours: bool = False, **feeds: np.ndarray
) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    if ours:
        options.register_custom_ops_library(native.onnxruntime_library_path())
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def _samplers(model: onnx_format.ModelProto) -> list[onnx_format.NodeProto]:
    return samplers_in(model)


def _sampler_model(
    shape: list[int | None],
    dtype: tf.DType = tf.float32,
    written: OnnxOptions | None = None,
    **options: object,
):
    rank = len(shape) - 2
    specs = [tf.TensorSpec(shape, dtype), tf.TensorSpec([None] * (rank + 1) + [rank], tf.float32)]
    sample = tf.function(
        lambda images, grid: [stn_tf.grid_sample(images, grid, **options)],
        input_signature=specs,
        autograph=False,
    )
    return convert(sample.get_concrete_function(), ["images", "grid"], ["crops"], written)


_OPERATIONS = {"affine": "AffineGridSample", "attention": "AffineGridSample", "tps": "GridSample"}
_OPERATIONS |= {"similarity": "AffineGridSample", "projective": "ProjectiveGridSample"}


# The pairs are held by tests/conformance, of a layer alone.
@every_pair(
    together=1,
    transform=TRANSFORMS,
    align_corners=[False, True],
    form=["dual", "standard", "custom"],
)
def test_every_transform(transform, align_corners, form, classifier, images, tmp_path):
    model = classifier(transform, align_corners=align_corners)
    onnx(model, tmp_path / "model.onnx", options=OnnxOptions(sampler=form), task="classification")
    file = onnx_format.load(tmp_path / "model.onnx")
    (sampler,) = _samplers(file)
    if form == "standard":
        assert (sampler.domain, sampler.op_type) == ("", "GridSample")
    else:
        assert (sampler.domain, sampler.op_type) == ("ai.stn_tf", _OPERATIONS[transform])
    assert bool(file.functions) == (form == "dual")
    # The portable sampler's gathers are gone: what is left picks columns of theta and shapes.
    assert not {"GatherND", "GatherElements"} & {node.op_type for node in file.graph.node}
    for size, ours in ((1, form == "custom"), (2, True), (7, form == "custom")):
        with record_transformations() as records:
            logits = model(images[:size]).numpy()
        (record,) = records
        assert not np.allclose(record.theta, record.layer.transform.identity(), atol=0.01)
        answers = _answers(file, ours=ours, images=images[:size])
        np.testing.assert_allclose(answers["logits"], logits, atol=2e-5)
        np.testing.assert_allclose(answers["theta"], record.theta, atol=1e-5)
        np.testing.assert_allclose(answers["crops"], record.crops, atol=5e-5)
        np.testing.assert_array_equal(answers["class"], logits.argmax(axis=1))


def test_file_is_what_every_runtime_reads(exported):
    file = onnx_format.load(exported.version_dir / "model.onnx")
    onnx_format.checker.check_model(file, full_check=True)
    imports = [(entry.domain, entry.version) for entry in file.opset_import]
    assert imports == [("", 18), ("ai.stn_tf", 1)]
    assert file.ir_version == 8
    bodies = [node for function in file.functions for node in function.node]
    assert [node.op_type for node in bodies].count("GridSample") == 2  # One calls the other.
    assert "AffineGrid" not in {node.op_type for node in bodies}
    dims = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*file.graph.input, *file.graph.output)
    }
    assert dims == {
        "images": ["batch", 14, 12, 1],
        "logits": ["batch", 4],
        "probabilities": ["batch", 4],
        "class": ["batch"],
        "theta": ["batch", 2, 3],
        "corners": ["batch", 4, 2],
        "crops": ["batch", 8, 9, 1],
    }
    (sampler,) = _samplers(file)
    attributes = {a.name: onnx_format.helper.get_attribute_value(a) for a in sampler.attribute}
    semantics = {"kernel": b"bilinear", "padding": b"zeros", "align_corners": 0}
    semantics |= {"height": 8, "width": 9}
    assert {k: v for k, v in attributes.items() if not k.startswith("body_")} == semantics


def test_file_carries_its_provenance(exported):
    file = onnx_format.load(exported.version_dir / "model.onnx")
    properties = {entry.key: entry.value for entry in file.metadata_props}
    assert properties["stn_tf.experiment"] == "unit"
    assert properties["stn_tf.error_percent"] == "12.5"
    assert json.loads(properties["stn_tf.samplers"])[0]["padding"] == "zeros"
    assert json.loads(properties["stn_tf.versions"])["onnx"] == onnx_format.__version__
    assert (file.producer_name, file.producer_version) == ("stn-tf", stn_tf.__version__)


def test_two_transformers_in_series(two_transformers, images, tmp_path):
    file = onnx(two_transformers, tmp_path / "model.onnx", task="classification")
    modes = [onnx_format.helper.get_node_attr_value(node, "kernel") for node in _samplers(file)]
    assert modes == [b"bilinear", b"bicubic"]
    with record_transformations() as records:
        logits = two_transformers(images, training=False).numpy()
    answers = _answers(file, images=images)
    # The class does not name its output: it is the first.
    np.testing.assert_allclose(answers[file.graph.output[0].name], logits, atol=2e-5)
    np.testing.assert_allclose(answers["crops_2"], records[1].crops, atol=5e-5)
    assert answers["theta_2"].shape == (10, 3)
    assert answers["corners_2"].shape == (10, 4, 2)


def test_model_without_sampler(classifier, images, tmp_path):
    model = classifier(transform=None)
    file = onnx(model, tmp_path / "model.onnx", task="classification")
    assert _samplers(file) == []
    assert [output.name for output in file.graph.output] == ["logits", "probabilities", "class"]
    np.testing.assert_allclose(_answers(file, images=images)["logits"], model(images), atol=1e-5)


def test_sampler_is_found_in_a_loaded_saved_model(classifier, images, tmp_path):
    model = classifier("projective")
    saved_model(model, tmp_path, task="classification")
    loaded = tf.saved_model.load(str(tmp_path))
    names = ["class", "logits", "probabilities"]  # A signature's outputs are sorted.
    file = convert(loaded.signatures["serving_default"], ["images"], names)
    assert len(_samplers(file)) == 1
    np.testing.assert_allclose(_answers(file, images=images)["logits"], model(images), atol=2e-5)


def test_points_that_are_no_numbers_read_as_outside():
    file = _sampler_model([None, 3, 5, 1])
    points = np.array([np.nan, np.inf, -np.inf, 1e9, -1e30], np.float32)
    grid = np.zeros((1, 2, 5, 2), np.float32)
    grid[0, 0, :, 0] = points
    grid[0, 1, :, 1] = points
    crops = _answers(file, images=np.ones((1, 3, 5, 1), np.float32), grid=grid)["crops"]
    np.testing.assert_array_equal(crops, np.zeros((1, 2, 5, 1)))


@pytest.mark.parametrize("conversions", [8, pytest.param(40, marks=pytest.mark.slow)])
def test_a_grid_of_unknown_size_keeps_the_rank_of_the_crops(conversions):
    # tf2onnx lost a Squeeze in one of fourteen conversions.
    grid = np.zeros((1, 2, 5, 2), np.float32)
    for _ in range(conversions):
        file = _sampler_model([None, 3, 5, 1])
        crops = _answers(file, images=np.ones((1, 3, 5, 1), np.float32), grid=grid)["crops"]
        assert crops.shape == (1, 2, 5, 1)


def test_border_reads_the_nearest_pixel_far_outside():
    for kernel in ("bilinear", "nearest", "bicubic"):
        file = _sampler_model([None, 2, 3, 1], kernel=kernel, padding="border")
        picture = np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1)
        grid = np.array([[[[-9, -9], [9, -9], [9, 9], [1e20, -1e20]]]], np.float32)
        crops = _answers(file, images=picture, grid=grid)["crops"]
        np.testing.assert_array_equal(crops.ravel(), [0, 2, 5, 2], err_msg=kernel)


def test_half_precision_images_are_sampled_in_float32():
    file = _sampler_model([None, 4, 4, 2], tf.float16)
    assert len(_samplers(file)) == 1
    rng = np.random.default_rng(0)
    picture = rng.uniform(size=(2, 4, 4, 2)).astype(np.float16)
    grid = rng.uniform(-1.2, 1.2, (2, 3, 3, 2)).astype(np.float32)
    crops = _answers(file, images=picture, grid=grid)["crops"]
    assert crops.dtype == np.float16
    assert crops.shape == (2, 3, 3, 2)
    exact = stn_tf.grid_sample(picture.astype(np.float64), grid.astype(np.float64)).numpy()
    np.testing.assert_allclose(crops, exact, atol=5e-4)  # Half a step of float16 below 1.


def test_volumes_get_the_opset_that_has_them():
    file = _sampler_model([None, 3, 4, 5, 2], align_corners=True)
    assert len(_samplers(file)) == 1
    assert [entry.version for entry in file.opset_import] == [20, 1]
    assert file.ir_version >= 9
    rng = np.random.default_rng(0)
    volumes = rng.uniform(size=(2, 3, 4, 5, 2)).astype(np.float32)
    grid = rng.uniform(-1.2, 1.2, (2, 2, 3, 4, 3)).astype(np.float32)
    expected = stn_tf.grid_sample(volumes, grid, align_corners=True)
    for ours in (False, True):
        crops = _answers(file, ours=ours, images=volumes, grid=grid)["crops"]
        np.testing.assert_allclose(crops, expected, atol=1e-5)


@every_pair(together=1, form=["dual", "standard"], opset=[16, 17, 18, 19, 20, 21, 22])
def test_every_opset(form, opset):
    written = OnnxOptions(sampler=form, opset=opset)
    file = _sampler_model([None, 4, 5, 2], written=written, kernel="bicubic")
    assert file.opset_import[0].version == opset
    rng = np.random.default_rng(0)
    pictures = rng.uniform(size=(2, 4, 5, 2)).astype(np.float32)
    grid = rng.uniform(-1.2, 1.2, (2, 3, 4, 2)).astype(np.float32)
    expected = stn_tf.grid_sample(pictures, grid, kernel="bicubic")
    for ours in (False, True):
        crops = _answers(file, ours=ours, images=pictures, grid=grid)["crops"]
        np.testing.assert_allclose(crops, expected, atol=1e-5)


@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_aligned_corners_take_the_fast_path_of_onnx_runtime(padding):
    written = OnnxOptions(sampler="standard")
    file = _sampler_model([None, 4, 5, 2], written=written, padding=padding, align_corners=True)
    (sampler,) = _samplers(file)
    attributes = {a.name: onnx_format.helper.get_attribute_value(a) for a in sampler.attribute}
    assert attributes == {"mode": b"bilinear", "padding_mode": b"zeros", "align_corners": 0}
    rng = np.random.default_rng(0)
    pictures = rng.uniform(size=(2, 4, 5, 2)).astype(np.float32)
    grid = rng.uniform(-1.5, 1.5, (2, 30, 4, 2)).astype(np.float32)
    expected = stn_tf.grid_sample(pictures, grid, padding=padding, align_corners=True)
    crops = _answers(file, images=pictures, grid=grid)["crops"]
    np.testing.assert_allclose(crops, expected, atol=1e-5)


def test_samplers_of_different_semantics_share_functions():
    def sample(images: tf.Tensor, grid: tf.Tensor) -> list[tf.Tensor]:
        return [
            stn_tf.grid_sample(images, grid, kernel=kernel, padding=padding, align_corners=aligned)
            for kernel, padding, aligned in choices
        ]

    choices = [("bilinear", "zeros", True), ("nearest", "border", False)]
    choices += [("bicubic", "reflection", True), ("bicubic", "border", False)]
    specs = [tf.TensorSpec([None, 4, 5, 2]), tf.TensorSpec([None, None, None, 2])]
    function = tf.function(sample, input_signature=specs, autograph=False).get_concrete_function()
    names = [f"crops_{index}" for index in range(4)]
    file = convert(function, ["images", "grid"], names)
    assert len(_samplers(file)) == 4
    assert len(file.functions) == 1
    rng = np.random.default_rng(0)
    pictures = rng.uniform(size=(2, 4, 5, 2)).astype(np.float32)
    grid = rng.uniform(-1.3, 1.3, (2, 6, 7, 2)).astype(np.float32)
    for ours in (False, True):
        answers = _answers(file, ours=ours, images=pictures, grid=grid)
        for name, (kernel, padding, aligned) in zip(names, choices, strict=True):
            expected = stn_tf.grid_sample(
                pictures, grid, kernel=kernel, padding=padding, align_corners=aligned
            )
            np.testing.assert_allclose(answers[name], expected, atol=1e-5)


def test_neighbouring_transposes_are_gone(tmp_path):
    images = keras.Input((9, 8, 1))
    features = keras.layers.Conv2D(3, 3)(images)
    crops = stn_tf.SpatialTransformer(
        keras.Sequential([keras.layers.Conv2D(2, 3), keras.layers.Flatten()]), "affine", (5, 5)
    )(features)
    logits = keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(crops)))
    model = keras.Model(images, logits)
    file = onnx(model, tmp_path / "model.onnx", options=OnnxOptions(target="tensorrt"))
    made = {name: node for node in file.graph.node for name in node.output}
    (sampler,) = _samplers(file)
    assert made[sampler.input[0]].op_type != "Transpose"


class _Foreign(keras.layers.Layer):
    def call(self, images: tf.Tensor) -> tf.Tensor:
        return tf.math.digamma(images)


def test_operation_that_onnx_lacks_is_named(tmp_path):
    images = keras.Input((6, 6, 1))
    features = keras.layers.Flatten()(_Foreign()(images))
    model = keras.Model(images, keras.layers.Dense(3)(features))
    with pytest.raises(ExportError, match="Digamma") as error:
        onnx(model, tmp_path / "model.onnx")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("align_corners", [False, True])
def test_bicubic_border_knows_which_side_of_the_edge_a_point_is_on(align_corners):
    choices = {"kernel": "bicubic", "padding": "border", "align_corners": align_corners}
    file = _sampler_model([None, 4, 8, 1], **choices)
    pictures = np.random.default_rng(0).uniform(size=(1, 4, 8, 1)).astype(np.float32)
    one = np.nextafter(np.float32(1), np.float32(2))
    points = np.array([-one, -1, 1, one], np.float32)
    grid = np.stack(np.meshgrid(points, points), axis=-1)[np.newaxis]
    expected = reference.grid_sample(pictures, grid, *choices.values())
    for ours in (False, True):
        crops = _answers(file, ours=ours, images=pictures, grid=grid)["crops"]
        np.testing.assert_allclose(crops, expected, atol=1e-5)


def test_bfloat16_layers_are_refused_with_the_cure():
    images = keras.Input((6, 6, 1))
    features = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, dtype="mixed_bfloat16")(images))
    model = keras.Model(images, keras.layers.Dense(3)(features))
    function = tf.function(
        lambda images: model(images), [tf.TensorSpec([None, 6, 6, 1])], autograph=False
    )
    with pytest.raises(ExportError, match=r"bfloat16.* Use the policy float32") as error:
        convert(function.get_concrete_function(), ["images"], ["logits"])
    assert "\n" not in str(error.value)
