"""ImageProjectiveTransform as our sampler, against TensorFlow's own."""

import itertools
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export import OnnxOptions
from stn_tf.export.conversion.onnx_file import convert
from stn_tf.export.onnx_passes.find import samplers_in
from stn_tf.export.proof.runtimes.onnx_runtime import onnx_runtime

every_form = pytest.mark.parametrize("form", ["dual", "standard", "custom"])
MODES = list(itertools.product(["BILINEAR", "NEAREST"], ["CONSTANT", "NEAREST", "REFLECT"]))
SIZE = (7, 9)

# Output pixel to input pixel, as TensorFlow has them.
TRANSFORMS = {
    "identity": [1, 0, 0, 0, 1, 0, 0, 0],
    "whole pixels": [1, 0, -3, 0, 1, 2, 0, 0],
    # Halfway between pixels, where TensorFlow rounds away from zero.
    "half a pixel": [1, 0, -0.5, 0, 1, 0.5, 0, 0],
    "far half pixels": [1, 0, -6.5, 0, 1, 5.5, 0, 0],
    "mirrored": [-1, 0, 8, 0, -1, 6, 0, 0],
    "rotated and larger": [0.7, -0.9, 2.3, 0.8, 0.6, -1.7, 0, 0],
    "smaller": [2.3, 0, -4.1, 0, 2.7, -5.2, 0, 0],
    "projective": [0.9, 0.2, -0.4, -0.1, 1.1, 0.3, 0.02, -0.03],
    "horizon": [1.1, 0.1, 0.3, 0.2, 0.9, -0.6, -0.2113, 0.0497],
}


def _converted(function: Callable, specs: list[tf.TensorSpec], form: str = "dual"):
    traced = tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
    names = ["images", "transforms"][: len(specs)]
    model = convert(traced, names, ["transformed"], OnnxOptions(sampler=form))
    samplers = samplers_in(model)
    assert len(samplers) == 1
    serialized, ways = model.SerializeToString(), [True] if form == "custom" else [False, True]
    found = [onnx_runtime(serialized, ours=ours) for ours in ways]

    def run(*feeds: np.ndarray) -> list[np.ndarray]:
        named = dict(zip(names, feeds, strict=True))
        return [one(named)["transformed"] for one in found]

    return run


def _transform(
    interpolation: str, fill_mode: str, size: tuple[int, int] = SIZE, fill_value: float = 0.0
) -> Callable:
    def function(images: tf.Tensor, transforms: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=transforms,
            output_shape=size,
            fill_value=fill_value,
            interpolation=interpolation,
            fill_mode=fill_mode,
        )

    return function


def _images(count: int, dtype: str = "float32") -> np.ndarray:
    values = np.random.default_rng(count).uniform(0, 1, (count, *SIZE, 3))
    return (values * (250 if dtype == "uint8" else 1)).astype(dtype)


@every_form
@pytest.mark.parametrize("size", [SIZE, (5, 12)])
@pytest.mark.parametrize(("interpolation", "fill_mode"), MODES)
def test_every_mode(interpolation, fill_mode, size, form):
    function = _transform(interpolation, fill_mode, size)
    specs = [tf.TensorSpec([None, *SIZE, 3]), tf.TensorSpec([None, 8])]
    run = _converted(function, specs, form)
    for name, transform in TRANSFORMS.items():
        if name == "horizon" and fill_mode == "REFLECT":
            continue  # Mirrors of mirrors: float32 does not tell which pixel.
        # One for all images, and one for each.
        for images, count in ((_images(1), 1), (_images(3), 1), (_images(3), 3)):
            transforms = np.array([transform] * count, np.float32)
            transforms[-1, 2] += 0.25 * (count - 1)
            expected = function(images, transforms).numpy()
            for found in run(images, transforms):
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4, err_msg=name)


@every_form
@pytest.mark.parametrize("interpolation", ["BILINEAR", "NEAREST"])
def test_another_fill_value(interpolation, form):
    function = _transform(interpolation, "CONSTANT", fill_value=0.7)
    specs = [tf.TensorSpec([None, *SIZE, 3]), tf.TensorSpec([None, 8])]
    run = _converted(function, specs, form)
    for transform in TRANSFORMS.values():
        transforms = np.array([transform], np.float32)
        expected = function(_images(2), transforms)
        for found in run(_images(2), transforms):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "interpolation", "atol"),
    [
        ("uint8", "BILINEAR", 1),
        ("uint8", "NEAREST", 0),
        ("int32", "NEAREST", 0),
        ("float16", "BILINEAR", 1e-3),
        ("float64", "BILINEAR", 1e-4),
    ],
)
def test_other_types(dtype, interpolation, atol):
    function = _transform(interpolation, "CONSTANT")
    specs = [tf.TensorSpec([None, *SIZE, 3], dtype), tf.TensorSpec([None, 8])]
    run = _converted(function, specs)
    images = _images(2, dtype) if dtype != "int32" else _images(2, "uint8").astype(dtype)
    for name, transform in TRANSFORMS.items():
        transforms = np.array([transform], np.float32)
        expected = function(images, transforms).numpy()
        for found in run(images, transforms):
            assert found.dtype == expected.dtype
            difference = np.abs(found.astype(float) - expected.astype(float))
            assert difference.max() <= atol, name
            if name in ("identity", "whole pixels"):
                assert difference.max() <= min(atol, 1e-3)


def test_version_2_of_the_operation():
    def function(images: tf.Tensor, transforms: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV2(
            images=images, transforms=transforms, output_shape=SIZE, interpolation="BILINEAR"
        )

    run = _converted(function, [tf.TensorSpec([None, *SIZE, 3]), tf.TensorSpec([None, 8])])
    transforms = np.array([TRANSFORMS["rotated and larger"]], np.float32)
    for found in run(_images(2), transforms):
        np.testing.assert_allclose(found, function(_images(2), transforms), atol=1e-4)


@every_form
@pytest.mark.parametrize("each", [False, True])
def test_keras_affine_transform(each, form):
    keras.utils.set_random_seed(3)
    inputs = keras.Input((*SIZE, 3))
    if each:
        features = keras.layers.GlobalAveragePooling2D()(inputs)
        # Near the identity: the operation takes eight numbers of any size.
        bias = keras.initializers.Constant(0.1)
        transforms = keras.layers.Dense(8, "tanh", bias_initializer=bias)(features)
        transforms = transforms * 0.05 + np.array(TRANSFORMS["identity"], np.float32)
    else:
        transforms = np.array(TRANSFORMS["rotated and larger"], np.float32)
    outputs = keras.ops.image.affine_transform(inputs, transforms)
    model = keras.Model(inputs, outputs)
    run = _converted(lambda images: model(images), [tf.TensorSpec([None, *SIZE, 3])], form)
    for count in (1, 3):
        expected = model(_images(count))
        assert not np.allclose(expected, _images(count), atol=0.05)
        for found in run(_images(count)):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("layer", ["RandomRotation", "RandomTranslation", "RandomZoom"])
def test_keras_random_layers(layer):
    """Told to transform, with a seed; at inference they do nothing, and nothing is left of them."""
    factors = (0.2, 0.2) if layer == "RandomTranslation" else (0.2,)
    model = keras.Sequential([keras.Input((*SIZE, 3)), getattr(keras.layers, layer)(*factors)])
    spec = tf.TensorSpec([2, *SIZE, 3])
    traced = tf.function(
        lambda images: model(images, training=False) * 2.0, input_signature=[spec], autograph=False
    )
    file = convert(traced.get_concrete_function(), ["images"], ["same"])
    assert [node.op_type for node in file.graph.node] == ["Mul"]

    layer = model.layers[0]
    fixed = layer.get_random_transformation(np.zeros((2, *SIZE, 3), np.float32), training=True)
    constant = keras.tree.map_structure(np.asarray, fixed)

    def moved(images: tf.Tensor) -> tf.Tensor:
        return layer.transform_images(images, constant, training=True)

    run = _converted(moved, [spec])
    expected = moved(tf.constant(_images(2)))
    assert not np.allclose(expected, _images(2), atol=0.05)
    for found in run(_images(2)):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "shape", "dtype", "message"),
    [
        (("BILINEAR", "WRAP"), [None, *SIZE, 3], "float32", "fill mode WRAP .* Use fill mode con"),
        (("BILINEAR", "CONSTANT"), [None, None, 9, 3], "float32", "unknown size.* Give the model"),
        (("BILINEAR", "CONSTANT"), [None, *SIZE, 3], "int32", "whole numbers .* Cast the images"),
    ],
)
def test_what_is_refused(options, shape, dtype, message):
    specs = [tf.TensorSpec(shape, dtype), tf.TensorSpec([None, 8])]
    with pytest.raises(ExportError, match=message) as error:
        _converted(_transform(*options), specs)
    assert "\n" not in str(error.value)


def test_a_target_refuses_it_as_any_sampler():
    specs = [tf.TensorSpec([None, *SIZE, 3]), tf.TensorSpec([None, 8])]
    function = tf.function(_transform("NEAREST", "CONSTANT"), specs, autograph=False)
    with pytest.raises(ExportError, match=r"`target` must not be coreml .* kernel nearest"):
        convert(
            function.get_concrete_function(),
            ["images", "transforms"],
            ["transformed"],
            OnnxOptions(target="coreml"),
        )
