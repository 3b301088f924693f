"""The SavedModel's fast operations, against NumPy in float64 and at the edges."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.export.tensorflow.stock_samplers import with_stock_samplers
from stn_tf.geometry import get_transform
from tests import reference
from tests.pairs import every_pair

TRANSFORMS = ("affine", "similarity", "projective", "attention")


def _pair(
    transform: str, channels: int = 2, size: tuple[int, int] = (9, 8), **options: object
) -> tuple:
    """A warp with gathers, and with what the exporter chooses; and the operations in there."""

    def warp(images: tf.Tensor, theta: tf.Tensor) -> list[tf.Tensor]:
        with stn_tf.native_sampler(False):
            return [stn_tf.warp(images, theta, size, transform=transform, **options)]

    theta_shape = stn_tf.identity(transform).shape
    specs = [tf.TensorSpec([None, 14, 12, channels]), tf.TensorSpec([None, *theta_shape])]
    gathers = tf.function(warp, input_signature=specs, autograph=False).get_concrete_function()
    fast = with_stock_samplers(gathers)
    called = {node.attr["f"].func.name for node in fast.graph.as_graph_def().node}
    functions = fast.graph.as_graph_def().library.function
    bodies = [function for function in functions if function.signature.name in called]
    return gathers, fast, {node.op for function in bodies for node in function.node_def}


def _theta(transform: str, count: int, rng: np.random.Generator) -> np.ndarray:
    identity = stn_tf.identity(transform)
    return (identity + rng.normal(0, 0.25, (count, *identity.shape))).astype(np.float32)


@every_pair(
    transform=TRANSFORMS, size=[(9, 8), (1, 1), (1, 5), (30, 3)], align_corners=[False, True]
)
def test_samples_equal_the_definition(transform, size, align_corners, rng):
    _, fast, operations = _pair(transform, size=size, align_corners=align_corners)
    wanted = "CropAndResize" if transform == "attention" else "ImageProjectiveTransformV3"
    assert wanted in operations
    assert not {"GatherV2", "GatherNd", "ResourceGather"} & operations
    images = rng.uniform(-1, 1, (6, 14, 12, 2)).astype(np.float32)
    theta = _theta(transform, 6, rng)
    family = get_transform(transform)
    grid = family.grid(tf.constant(theta, tf.float64), size, align_corners=align_corners)
    expected = reference.grid_sample(
        images.astype(np.float64), grid.numpy(), "bilinear", "zeros", align_corners
    )
    (found,) = fast(tf.constant(images), tf.constant(theta))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_theta_that_is_no_number_reads_as_outside(transform, rng):
    gathers, fast, _ = _pair(transform)
    images = tf.constant(rng.uniform(size=(6, 14, 12, 2)), tf.float32)
    theta = _theta(transform, 6, rng).reshape(6, -1)
    last = theta.shape[1] - 1
    for row, (column, value) in enumerate(
        [(0, np.nan), (last, np.nan), (last, np.inf), (last, -np.inf), (0, 1e30), (last, -1e30)]
    ):
        theta[row, column] = value
    theta = tf.constant(theta.reshape(6, *stn_tf.identity(transform).shape))
    (found,), (expected,) = fast(images, theta), gathers(images, theta)
    assert np.isfinite(found).all()
    # Where no point at all is left inside; of an infinite depth is the middle of the image.
    whole = np.isin(np.arange(6), [1] if transform == "projective" else [1, 2, 3])
    np.testing.assert_allclose(found.numpy()[whole], expected.numpy()[whole], atol=1e-5)


@pytest.mark.parametrize(
    ("transform", "channels", "options"),
    [
        ("affine", 8, {}),
        ("affine", 2, {"kernel": "nearest"}),
        ("affine", 2, {"padding": "border"}),
        ("attention", 2, {"kernel": "bicubic"}),
        ("tps", 2, {}),
    ],
)
def test_what_they_do_not_compute_stays_gathers(transform, channels, options, rng):
    gathers, fast, operations = _pair(transform, channels, **options)
    assert not {"CropAndResize", "ImageProjectiveTransformV3"} & operations
    images = tf.constant(rng.uniform(size=(3, 14, 12, channels)), tf.float32)
    theta = tf.constant(_theta(transform, 3, rng))
    np.testing.assert_array_equal(fast(images, theta)[0], gathers(images, theta)[0])


def test_many_channels_of_an_upright_window_are_cropped(rng):
    _, _, operations = _pair("attention", channels=32)
    assert "CropAndResize" in operations


def test_an_empty_batch(rng):
    for transform in TRANSFORMS:
        _, fast, _ = _pair(transform)
        theta = tf.zeros([0, *stn_tf.identity(transform).shape])
        assert fast(tf.zeros([0, 14, 12, 2]), theta)[0].shape == (0, 9, 8, 2)


@pytest.mark.slow
def test_images_far_larger_than_the_tests_above(rng):
    for transform, aligned in itertools.product(("affine", "attention"), (False, True)):
        size = (224, 200)
        _, fast, _ = _pair(transform, size=size, align_corners=aligned)
        images = rng.uniform(size=(1, 14, 12, 2)).astype(np.float32)
        theta = _theta(transform, 1, rng)
        grid = get_transform(transform).grid(
            tf.constant(theta, tf.float64), size, align_corners=aligned
        )
        expected = reference.grid_sample(
            images.astype(np.float64), grid.numpy(), "bilinear", "zeros", aligned
        )
        (found,) = fast(tf.constant(images), tf.constant(theta))
        np.testing.assert_allclose(found, expected, atol=1e-4)
