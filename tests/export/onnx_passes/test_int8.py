"""8-bit files of every form, made without the export around them."""

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.errors import ExportError
from stn_tf.export import OnnxOptions
from stn_tf.export.conversion.onnx_file import convert
from stn_tf.export.onnx_passes.find import samplers_in
from stn_tf.export.onnx_passes.precision import to_int8
from stn_tf.export.proof.runtimes.onnx_runtime import onnx_runtime
from tests.export.conftest import INPUT, localisation, randomise

FORMS = ("dual", "standard", "custom")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(4)
    images = keras.Input(INPUT)
    crops = stn_tf.SpatialTransformer(localisation(), "affine", (8, 9))(images)
    features = keras.layers.Flatten()(keras.layers.Conv2D(6, 3, activation="relu")(crops))
    return randomise(keras.Model(images, keras.layers.Dense(4)(features)))


def _converted(model: keras.Model, form: str) -> onnx.ModelProto:
    spec = tf.TensorSpec([None, *INPUT])
    function = tf.function(lambda images: model(images), input_signature=[spec], autograph=False)
    return convert(
        function.get_concrete_function(), ["images"], ["logits"], OnnxOptions(sampler=form)
    )


@pytest.mark.parametrize("form", FORMS)
def test_every_form(form, model, images):
    single = _converted(model, form)
    before = single.SerializeToString()
    file = to_int8(single, {"images": images})
    assert single.SerializeToString() == before
    assert bool(file.functions) == (form == "dual")
    (sampler,) = samplers_in(file)
    assert (sampler.domain == "") == (form == "standard")
    logits = onnx_runtime(file.SerializeToString())({"images": images})["logits"]
    difference = np.abs(logits - model(images)).max()
    assert 0 < difference < 0.1
    # The scales are those of the form that was calibrated.
    dual = to_int8(_converted(model, "dual"), {"images": images})
    expected = onnx_runtime(dual.SerializeToString())({"images": images})["logits"]
    np.testing.assert_allclose(logits, expected, atol=2e-2)


@pytest.mark.parametrize("form", FORMS)
def test_weights_have_7_bits(form, model, images):
    file = to_int8(_converted(model, form), {"images": images})
    weights = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in file.graph.initializer
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) > 1
    ]
    assert len(weights) == 2
    for values in weights:
        # The whole range is used, and no more: two products of 8 and 7 bits fit into 16.
        assert 60 <= np.abs(values.astype(int)).max() <= 64


def test_a_shared_backbone_leaves_theta_as_it_is(images):
    keras.utils.set_random_seed(5)
    shared = keras.Sequential(
        [
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Conv2D(8, 3, activation="relu"),
        ]
    )
    pixels = keras.Input(INPUT)
    head = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(8, activation="relu")])
    transformer = stn_tf.SpatialTransformer(head, "affine", INPUT[:2], return_theta=True)
    crops, theta = transformer(pixels, features=shared(pixels))
    logits = keras.layers.Dense(4)(keras.layers.Flatten()(shared(crops)))
    model = randomise(keras.Model(pixels, [logits, theta]))
    spec = tf.TensorSpec([None, *INPUT])
    function = tf.function(model, input_signature=[spec], autograph=False)
    names = (["images"], ["logits", "theta"])
    file = to_int8(
        convert(function.get_concrete_function(), *names, OnnxOptions()), {"images": images}
    )
    found = onnx_runtime(file.SerializeToString())({"images": images})
    expected = [value.numpy() for value in model(images)]
    np.testing.assert_allclose(found["theta"], expected[1], atol=1e-5)
    assert np.abs(expected[1] - stn_tf.identity()).max() > 0.01
    assert 1e-4 < np.abs(found["logits"] - expected[0]).max() < 0.2


def test_bicubic_volumes_cannot_be_calibrated():
    specs = [tf.TensorSpec([None, 3, 3, 3, 1]), tf.TensorSpec([None, 2, 2, 2, 3])]
    function = tf.function(
        lambda volumes, grid: stn_tf.grid_sample(volumes, grid, kernel="bicubic"),
        input_signature=specs,
        autograph=False,
    )
    names = (["volumes", "grid"], ["crops"])
    file = convert(function.get_concrete_function(), *names, OnnxOptions(sampler="custom"))
    feeds = {"volumes": np.ones((2, 3, 3, 3, 1), "f"), "grid": np.ones((2, 2, 2, 2, 3), "f")}
    with pytest.raises(ExportError, match=r"`precision` must not be int8 .* Use float16"):
        to_int8(file, feeds)
