"""Every public function and layer, eager, in a graph and compiled; fails when one is missing."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import stn_tf
import stn_tf.geometry
import stn_tf.layers
import stn_tf.sampling

RNG = np.random.default_rng(3)


def uniform(*size: int) -> np.ndarray:
    return RNG.uniform(-0.3, 0.3, size).astype(np.float32)


IMAGES = uniform(2, 6, 5, 3)
AFFINE = stn_tf.identity() + uniform(2, 2, 3)
# Public name -> a call of it, with its arguments.
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple]] = {
    "affine_grid": (lambda theta: stn_tf.affine_grid(theta, (4, 3)), (AFFINE,)),
    "affine_grid_3d": (lambda theta: stn_tf.affine_grid_3d(theta, (2, 4, 3)), (uniform(2, 3, 4),)),
    "attention_grid": (lambda theta: stn_tf.attention_grid(theta, (4, 3)), (uniform(2, 3),)),
    "compose": (stn_tf.compose, (AFFINE, AFFINE[::-1])),
    "corners_pixels": (lambda theta: stn_tf.corners_pixels(theta, (6, 5)), (AFFINE,)),
    "grid_sample": (stn_tf.grid_sample, (IMAGES, uniform(2, 4, 3, 2))),
    "inverse": (stn_tf.inverse, (AFFINE,)),
    "projective_grid": (lambda theta: stn_tf.projective_grid(theta, (4, 3)), (uniform(2, 8),)),
    "similarity_grid": (lambda theta: stn_tf.similarity_grid(theta, (4, 3)), (uniform(2, 4),)),
    "thin_plate_spline_grid": (
        lambda theta: stn_tf.thin_plate_spline_grid(theta, (4, 3)),
        (uniform(2, 9, 2),),
    ),
    "warp": (lambda images, theta: stn_tf.warp(images, theta, (4, 3)), (IMAGES, AFFINE)),
}
# A choice that computes in another way -> a call of it, with its arguments.
FUNCTION_CHOICES: dict[str, tuple[Callable[..., Any], tuple]] = {
    "warp, antialias": (
        lambda images, theta: stn_tf.warp(images, theta, (4, 3), antialias=2),
        (IMAGES, AFFINE),
    ),
}
LAYERS: dict[str, tuple[Callable[[], keras.layers.Layer], Any]] = {
    "OutsidePenalty": (lambda: stn_tf.layers.OutsidePenalty("affine", 0.5), [IMAGES, AFFINE]),
    "SalientRegion": (stn_tf.layers.SalientRegion, IMAGES),
    "SpatialTransformer": (
        lambda: stn_tf.SpatialTransformer(keras.layers.Flatten(), "tps", (4, 3)),
        IMAGES,
    ),
    "ThetaRegression": (
        lambda: stn_tf.layers.ThetaRegression("similarity", constraints={"scale": (0.5, 2.0)}),
        IMAGES,
    ),
    "Warp": (lambda: stn_tf.layers.Warp("affine", (4, 3), padding="border"), [IMAGES, AFFINE]),
}
LAYER_CHOICES: dict[str, tuple[Callable[[], keras.layers.Layer], Any]] = {
    "SpatialTransformer, antialias": (
        lambda: stn_tf.SpatialTransformer(keras.layers.Flatten(), "tps", (4, 3), antialias=2),
        IMAGES,
    ),
    "Warp, antialias": (
        lambda: stn_tf.layers.Warp("affine", (4, 3), antialias=2),
        [IMAGES, AFFINE],
    ),
}
EVERY_FUNCTION, EVERY_LAYER = FUNCTIONS | FUNCTION_CHOICES, LAYERS | LAYER_CHOICES
# Names that are no operations, with the test that holds them.
OTHERS = {
    "StnError": "tests/test_errors.py",
    "MatrixTransform": "tests/geometry/test_own_families.py",
    "TRANSFORMS": "tests/conformance/test_transformers.py",
    "Transform": "tests/geometry/test_grids.py",
    "Transformation": "tests/layers/test_spatial_transformer.py",
    "__version__": "tests/test_package.py",
    "native_sampler": "tests/native/test_choice.py",
    "get_transform": "tests/geometry/test_families.py",
    "identity": "tests/geometry/test_grids.py",
    "record_transformations": "tests/layers/test_spatial_transformer.py",
    "spatial_transformers": "tests/layers/test_spatial_transformer.py",
}


def test_no_public_name_is_missing() -> None:
    modules = (stn_tf, stn_tf.geometry, stn_tf.layers, stn_tf.sampling)
    public = {name for module in modules for name in module.__all__}
    assert public == {*FUNCTIONS, *LAYERS, *OTHERS}


@pytest.mark.parametrize("name", EVERY_FUNCTION)
def test_function_is_the_same_in_graphs_and_compiled(name: str) -> None:
    function, arguments = EVERY_FUNCTION[name]
    eager = function(*arguments)
    assert eager.dtype == tf.float32
    assert np.ptp(eager) > 0
    for jit_compile in (False, True):
        traced = tf.function(function, jit_compile=jit_compile)(*map(tf.constant, arguments))
        np.testing.assert_allclose(traced, eager, atol=1e-5)


@pytest.mark.parametrize("name", EVERY_LAYER)
def test_layer_survives_its_configuration(name: str) -> None:
    build, inputs = EVERY_LAYER[name]
    layer = build()
    expected = layer(inputs)
    again = type(layer).from_config(layer.get_config())
    again(inputs)
    again.set_weights(layer.get_weights())
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again(inputs), expected)


@pytest.mark.parametrize("name", EVERY_LAYER)
def test_layer_infers_its_shape(name: str) -> None:
    build, inputs = EVERY_LAYER[name]
    single = not isinstance(inputs, list)
    symbolic = [keras.Input(array.shape[1:]) for array in ([inputs] if single else inputs)]
    output = build()(symbolic[0] if single else symbolic)
    assert output.shape == (None, *build()(inputs).shape[1:])


@pytest.mark.parametrize("name", EVERY_LAYER)
def test_layer_under_a_strategy(name: str) -> None:
    build, inputs = EVERY_LAYER[name]
    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        layer = build()
    strategy = tf.distribute.get_strategy()
    output = strategy.run(tf.function(layer.__call__), args=(inputs,))
    np.testing.assert_allclose(output, layer(inputs), atol=1e-6)
