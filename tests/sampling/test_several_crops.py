"""Several crops an image: each is what a warp by its own theta shows."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.geometry import TRANSFORMS, get_transform
from stn_tf.layers import SpatialTransformer, Warp
from tests import reference
from tests.sampling.samplers import every_pair_with_samplers

COUNT, CROPS = 2, 3


def arguments(transform: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple]:
    family = get_transform(transform)
    images = rng.uniform(-1, 1, (COUNT, *(5, 6, 4)[: family.dimensions], 2)).astype(np.float32)
    noise = rng.uniform(-0.2, 0.2, (COUNT, CROPS, *family.theta_shape))
    return images, (family.identity() + noise).astype(np.float32), (3, 4, 2)[: family.dimensions]


def expected_crops(images: np.ndarray, theta: np.ndarray, size: tuple, transform: str) -> Any:
    crops = []
    for crop in range(theta.shape[1]):
        grid = reference.grid(transform, theta[:, crop], size, False)
        crops.append(reference.grid_sample(images, grid, "bilinear", "zeros", False))
    return np.stack(crops, axis=1)


@every_pair_with_samplers(transform=[*TRANSFORMS], mode=["eager", "graph", "unknown", "xla"])
def test_warp(transform: str, mode: str, rng: np.random.Generator) -> None:
    images, theta, size = arguments(transform, rng)

    def show(images: tf.Tensor, theta: tf.Tensor) -> tf.Tensor:
        return stn_tf.warp(images, theta, size, transform=transform)

    call = {"eager": show, "xla": tf.function(show, jit_compile=True)}.get(mode, tf.function(show))
    if mode == "unknown":
        rest = [None] * (images.ndim - 1)
        call = tf.function(
            show,
            input_signature=[
                tf.TensorSpec([None, *rest[:-1], 2]),
                tf.TensorSpec([None, None, *theta.shape[2:]]),
            ],
        )
        assert call.get_concrete_function().output_shapes == [None, None, *size, 2]
    crops = call(tf.constant(images), tf.constant(theta))
    assert crops.shape == (COUNT, CROPS, *size, 2)
    np.testing.assert_allclose(crops, expected_crops(images, theta, size, transform), atol=1e-5)


@pytest.mark.parametrize("in_graph", [False, True])
def test_gradients_are_those_of_single_crops(in_graph: bool, rng: np.random.Generator) -> None:
    images, theta, size = arguments("affine", rng)
    upstream = tf.constant(rng.normal(size=(COUNT, CROPS, *size, 2)).astype(np.float32))
    images, theta = tf.constant(images), tf.constant(theta)

    def gradients(together: bool) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([images, theta])
            if together:
                crops = stn_tf.warp(images, theta, size)
            else:
                singles = [stn_tf.warp(images, theta[:, k], size) for k in range(CROPS)]
                crops = tf.stack(singles, axis=1)
        return tape.gradient(crops, [images, theta], upstream)

    call = tf.function(gradients) if in_graph else gradients
    for together, apart in zip(call(True), gradients(False), strict=True):
        np.testing.assert_allclose(together, apart, atol=1e-4)


def test_images_are_not_repeated(rng: np.random.Generator) -> None:
    """In a graph it is one annotated sampler, which reads every image where it is."""
    specs = [tf.TensorSpec([None, 5, 6, 2]), tf.TensorSpec([None, CROPS, 2, 3])]
    function = tf.function(lambda i, t: stn_tf.warp(i, t, (3, 4))).get_concrete_function(*specs)
    library = function.graph.as_graph_def().library.function
    texts = [f.attr["_implements"].s.decode() for f in library if "_implements" in f.attr]
    assert [text.partition(" ")[0] for text in texts] == ["stn_tf.grid_sample"]
    (call,) = (n for n in function.graph.as_graph_def().node if n.op.endswith("PartitionedCall"))
    assert call.input[0] == function.graph.inputs[0].op.name


@pytest.mark.parametrize("count", [(0, 3), (2, 0)])
def test_empty(count: tuple[int, int]) -> None:
    theta = tf.zeros([*count, 2, 3])
    assert stn_tf.warp(tf.zeros([count[0], 4, 4, 1]), theta, (2, 3)).shape == (*count, 2, 3, 1)


def test_layers(rng: np.random.Generator) -> None:
    images, theta, size = arguments("similarity", rng)
    crops = Warp("similarity", size)([images, theta])
    np.testing.assert_allclose(crops, expected_crops(images, theta, size, "similarity"), atol=1e-5)
    layer = SpatialTransformer(
        keras.layers.Flatten(), "similarity", size, crops=CROPS, return_theta=True, return_grid=True
    )
    shown, theta, grid = layer(images)
    np.testing.assert_array_equal(theta, np.tile(stn_tf.identity("similarity"), (COUNT, CROPS, 1)))
    kernel = layer.regression.dense.kernel
    kernel.assign(rng.normal(size=kernel.shape) * 0.1)
    shown, theta, grid = layer(images)
    assert np.ptp(theta, axis=1).min() > 1e-3
    assert grid.shape == (COUNT, CROPS, *size, 2)
    expected = expected_crops(images, np.asarray(theta), size, "similarity")
    np.testing.assert_allclose(shown, expected, atol=1e-5)
    again = SpatialTransformer.from_config(layer.get_config())
    again(images)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(images)[0], shown)


def test_theta_exception_raised() -> None:
    with pytest.raises(ValueError, match=r"`theta` must be \[N, 2, 3\] or \[N, K, 2, 3\], but it"):
        stn_tf.warp(tf.zeros([1, 4, 4, 1]), stn_tf.identity(), (2, 2))
    with pytest.raises(ValueError, match="must have the same batch size"):
        stn_tf.warp(tf.zeros([1, 4, 4, 1]), tf.zeros([2, 3, 2, 3]), (2, 2))
