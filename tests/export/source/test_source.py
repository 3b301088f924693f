"""Everything that can be exported, from wherever it is."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

from stn_tf.errors import ExportError, ModelError, RunError
from stn_tf.export import export_model, load_network
from stn_tf.export.onnx_passes.find import nodes, samplers_in
from stn_tf.export.proof.validation import validate
from stn_tf.export.sampler_spec import is_sampler
from stn_tf.layers import SpatialTransformer, Transformation, Warp, record_transformations

PLAIN = """
import sys
for name in ("stn_tf", "tensorflow", "keras"):
    sys.modules[name] = None
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
data = np.load(sys.argv[2])
feeds = {value.name: data[value.name] for value in session.get_inputs()}
names = [value.name for value in session.get_outputs()]
np.savez(sys.argv[3], **dict(zip(names, session.run(names, feeds))))
"""


def plain_onnx_runtime(file: Path, feeds: dict, folder: Path) -> dict[str, np.ndarray]:
    """The answers of a process that has ONNX Runtime, and neither TensorFlow nor stn_tf."""
    np.savez(folder / "feeds.npz", **feeds)
    arguments = [file, folder / "feeds.npz", folder / "answers.npz"]
    # -I: not even the folder that it is started in is on the path.
    command = [sys.executable, "-I", "-c", PLAIN, *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return dict(np.load(folder / "answers.npz"))


def _features(filters: int) -> keras.Model:
    return keras.Sequential(
        [keras.layers.Conv2D(filters, 3, strides=2), keras.layers.GlobalAveragePooling2D()]
    )


def _randomise(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(5)
    for layer in model._flatten_layers():
        if isinstance(layer, SpatialTransformer):
            for weight in (layer.regression.dense.kernel, layer.regression.dense.bias):
                weight.assign_add(rng.normal(0, 0.1, weight.shape))
    return model


def _three_transformers() -> keras.Model:
    """Two in series and one in parallel, on the image and on feature maps, and two outputs."""
    keras.utils.set_random_seed(3)
    images = keras.Input((15, 14, 3), name="picture")
    first = SpatialTransformer(_features(4), "affine", (12, 11))(images)
    maps = keras.layers.Conv2D(6, 3, activation="relu")(first)
    second = SpatialTransformer(_features(5), "projective")(maps)
    beside = SpatialTransformer(_features(3), "attention", (6, 6), padding="border")(images)
    joined = keras.layers.Concatenate()(
        [keras.layers.Flatten()(second), keras.layers.Flatten()(beside)]
    )
    scores = keras.layers.Dense(4, name="scores")(joined)
    return _randomise(keras.Model(images, [scores, beside], name="three"))


def _volumes() -> keras.Model:
    keras.utils.set_random_seed(4)
    volumes = keras.Input((7, 8, 6, 1))
    localisation = keras.Sequential(
        [keras.layers.Conv3D(3, 3), keras.layers.GlobalAveragePooling3D()]
    )
    crops = SpatialTransformer(localisation, "affine-3d", (5, 5, 5))(volumes)
    return _randomise(keras.Model(volumes, keras.layers.Dense(3)(keras.layers.Flatten()(crops))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "samplers", "outputs"),
    [(_three_transformers, 3, ("scores", "output")), (_volumes, 1, ("output",))],
)
def test_a_users_own_model_runs_in_plain_onnx_runtime(make, samplers, outputs, tmp_path):
    model = make()
    result = export_model(model, tmp_path / "out")
    assert all(row.passed for row in result.manifest.parity)
    file = result.version_dir / "model.onnx"
    found = samplers_in(onnx.load(file))
    assert len(found) == samplers == len(result.manifest.samplers)
    (name,) = [spec.name for spec in result.manifest.interface.inputs]
    shape = model.inputs[0].shape[1:]
    images = np.random.default_rng(0).uniform(size=(3, *shape)).astype(np.float32)
    answers = plain_onnx_runtime(file, {name: images}, tmp_path)
    with record_transformations() as records:
        own = model(images, training=False)
    expected = dict(zip(outputs, own if isinstance(own, list) else [own], strict=True))
    for number, record in enumerate(records, start=1):
        end = "" if number == 1 else f"_{number}"
        expected |= {f"theta{end}": record.theta, f"crops{end}": record.crops}
        expected[f"corners{end}"] = _corners(record)
    assert set(answers) == set(expected)
    for name, value in expected.items():
        tolerance = 1e-5 if name.startswith("theta") else 1e-4
        np.testing.assert_allclose(answers[name], value, rtol=1e-5, atol=tolerance, err_msg=name)


def _corners(record: Transformation) -> np.ndarray:
    """Where the output's corners lie, by hand: in the input's pixels, (x, y) or (x, y, z)."""
    theta, size = record.theta.numpy().astype(np.float64), tuple(record.images.shape[1:-1])
    if record.layer.transform.name == "attention":  # Scale and translation.
        scale, x, y = theta.T
        zero = np.zeros_like(scale)
        theta = np.stack([scale, zero, x, zero, scale, y], axis=-1).reshape(-1, 2, 3)
    if record.layer.transform.name == "projective":
        theta = np.append(theta, np.ones((len(theta), 1)), axis=1).reshape(-1, 3, 3)
    square = [[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]]
    if len(size) == 3:
        square = [[x, y, z, 1] for z in (-1, 1) for x, y, _ in square]
    points = np.einsum("nij,pj->npi", theta, np.array(square, np.float64))
    if record.layer.transform.name == "projective":
        points = points[..., :2] / points[..., 2:]
    return ((points + 1) * size[::-1] - 1) / 2


def test_a_keras_file(tmp_path):
    model = _three_transformers()
    model.save(tmp_path / "model.keras")
    found, live = load_network(tmp_path / "model.keras"), load_network(model)
    images = tf.constant(np.random.default_rng(0).uniform(size=(2, 15, 14, 3)), tf.float32)
    expected = live.answer({"picture": images})
    answers = found.answer({"picture": images})
    assert set(answers) == set(expected) == set(live.outputs)
    for name, value in answers.items():
        np.testing.assert_array_equal(value, expected[name])
    assert found.samplers == live.samplers


def _one_transformer() -> keras.Model:
    keras.utils.set_random_seed(3)
    images = keras.Input((15, 14, 3), name="picture")
    crops = SpatialTransformer(_features(4), "projective", (6, 5))(images)
    scores = keras.layers.Dense(4)(keras.layers.Flatten()(crops))
    return _randomise(keras.Model(images, [scores, crops]))


THREE = ["AffineGridSample", "AffineGridSample", "ProjectiveGridSample"]


@pytest.mark.parametrize(
    ("make", "samplers"),
    [
        (_one_transformer, ["ProjectiveGridSample"]),
        pytest.param(_three_transformers, THREE, marks=pytest.mark.slow),
    ],
)
def test_a_saved_model_of_keras_itself(make, samplers, tmp_path):
    model = make()
    model.export(tmp_path / "saved", verbose=False)
    result = export_model(tmp_path / "saved", tmp_path / "out")
    file = onnx.load(result.version_dir / "model.onnx")
    found = [node.op_type for node in nodes(file.graph) if is_sampler(node)]
    assert sorted(found) == samplers
    images = np.random.default_rng(0).uniform(size=(2, 15, 14, 3)).astype(np.float32)
    again = tf.saved_model.load(str(result.version_dir)).signatures["serving_default"]
    values = again(picture=tf.constant(images))
    scores, crops = model(images)
    np.testing.assert_allclose(values["output_0"], scores, atol=1e-4)
    np.testing.assert_allclose(values["output_1"], crops, atol=1e-4)
    (spec,) = result.manifest.interface.inputs
    assert (spec.name, spec.layout, spec.value_range) == ("picture", "NHWC", None)


def test_every_signature_keeps_its_outputs_apart(tmp_path):
    """TensorFlow loads the names of outputs in another order in every process."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
    def answer(x):
        return {name: x * float(i + 2) for i, name in enumerate("abcdefgh")}

    signatures = {"serving_default": answer, "other": answer}
    tf.saved_model.save(module, tmp_path / "saved", signatures=signatures)
    result = export_model(tmp_path / "saved", tmp_path / "out")
    again = tf.saved_model.load(str(result.version_dir))
    for signature in signatures:
        values = again.signatures[signature](x=tf.ones([1, 3]))
        assert {name: float(value[0, 0]) for name, value in values.items()} == {
            name: i + 2.0 for i, name in enumerate("abcdefgh")
        }


@pytest.mark.parametrize(
    "declared", [{"input_range": (0, 1)}, pytest.param({}, marks=pytest.mark.slow)]
)
def test_an_exported_version_is_exported_again(declared, exported, images, tmp_path):
    result = export_model(exported.version_dir, tmp_path / "out", images=images, **declared)
    assert set(result.manifest.signatures) == set(exported.result.manifest.signatures)
    assert result.manifest.samplers == exported.result.manifest.samplers
    assert {"theta", "corners", "crops"} <= {row.output for row in result.manifest.parity}
    # Its fast operations are found by their annotation.
    file = onnx.load(result.version_dir / "model.onnx")
    (sampler,) = samplers_in(file)
    assert sampler.op_type == "AffineGridSample"
    expected = tf.saved_model.load(str(exported.version_dir)).signatures
    again = tf.saved_model.load(str(result.version_dir)).signatures
    png = tf.io.encode_png(tf.cast(images[0] * 255, tf.uint8))
    for signature in result.manifest.signatures:
        encoded = signature == "serving_bytes"
        feed = {"image_bytes": png[tf.newaxis]} if encoded else {"images": tf.constant(images)}
        values = again[signature](**feed)
        for name, value in expected[signature](**feed).items():
            np.testing.assert_allclose(values[name], value, atol=1e-5, err_msg=name)


def test_other_signatures_are_called_with_what_they_take(tmp_path):
    """Though their names are those that transformers get."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
    def twice(x):
        return {"double": 2.0 * x}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], name="angle")])
    def rotate(angle):
        return {"turned": angle + 1.0}

    signatures = {"serving_default": twice, "rectify": rotate, "localize": twice}
    tf.saved_model.save(module, tmp_path / "saved", signatures=signatures)
    result = export_model(tmp_path / "saved", tmp_path / "out")
    found = {(row.output, row.case.rpartition(" ")[2]) for row in result.manifest.parity}
    assert found >= {("turned", "rectify"), ("double", "localize")}
    assert validate(result.version_dir).passed


def test_a_function_and_a_module(tmp_path):
    module = tf.Module()
    module.weights = tf.Variable([[1.0, -2.0], [0.5, 3.0], [2.0, 0.0]])

    @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
    def twice(x):
        return tf.matmul(x, module.weights)

    class Callable(tf.Module):
        __call__ = staticmethod(twice)

    x = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    expected = x.astype(np.float64) @ np.array([[1, -2], [0.5, 3], [2, 0]])
    for number, source in enumerate((twice, twice.get_concrete_function(), Callable())):
        result = export_model(source, tmp_path / str(number))
        again = tf.saved_model.load(str(result.version_dir)).signatures["serving_default"]
        np.testing.assert_allclose(again(x=tf.constant(x))["output"], expected, atol=1e-5)
        answers = plain_onnx_runtime(result.version_dir / "model.onnx", {"x": x}, tmp_path)
        np.testing.assert_allclose(answers["output"], expected, atol=1e-5)


def test_what_is_no_model_at_all_is_refused():
    with pytest.raises(ModelError, match=r"must be a Keras model, a tf\.function, .* a list"):
        load_network([1, 2])


def test_several_inputs(tmp_path):
    images, theta = keras.Input((9, 8, 2), name="images"), keras.Input((2, 3), name="theta")
    crops = Warp("affine", (5, 6), name="crops")([images, theta])
    result = export_model(keras.Model([images, theta], crops), tmp_path / "out")
    feeds = {
        "images": np.random.default_rng(0).uniform(size=(2, 9, 8, 2)).astype(np.float32),
        "theta": np.array([[[0.8, 0.1, 0], [0, 0.9, 0.1]]] * 2, np.float32),
    }
    answers = plain_onnx_runtime(result.version_dir / "model.onnx", feeds, tmp_path)
    expected = Warp("affine", (5, 6))([feeds["images"], feeds["theta"]])
    np.testing.assert_allclose(answers["crops"], expected, atol=1e-5)


@pytest.mark.parametrize("name", ["text.keras", "empty", "nothing", "pieces"])
def test_what_is_no_model_is_refused_in_one_line(name, tmp_path):
    path = tmp_path / name
    if name == "text.keras":
        path.write_text("no model", encoding="utf-8")
    elif name == "empty":
        path.mkdir()
    elif name == "pieces":
        path.mkdir()
        (path / "saved_model.pb").write_bytes(b"\x08\x01\x12\xff\xff")
    with pytest.raises((ModelError, RunError)) as error:
        export_model(path, tmp_path / "out" / "deep")
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_truncated_saved_model(exported, tmp_path):
    whole = (exported.version_dir / "saved_model.pb").read_bytes()
    (tmp_path / "saved_model.pb").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="is no SavedModel that loads"):
        load_network(tmp_path)


def test_a_signature_that_is_not_there(exported):
    with pytest.raises(ExportError, match=r"`signature` must be one of localize, .*'other'"):
        load_network(exported.version_dir, signature="other")
    network = load_network(exported.version_dir, signature="rectify")
    assert network.outputs == ("crops",)


def test_images_that_do_not_fit(exported, tmp_path):
    images = np.zeros((2, 14, 11, 1), np.float32)
    with pytest.raises(ExportError, match=r"`images` must have shape \[N, 14, 12, 1\] .*11, 1\]"):
        export_model(exported.model, tmp_path, images=images)
    with pytest.raises(ExportError, match="`images` must have an array for each of images"):
        export_model(exported.model, tmp_path, images={"pictures": images})
