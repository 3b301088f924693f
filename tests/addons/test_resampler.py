"""The sampler against the real `tfa.image.resampler`, in the environment of `make addons-test`.

Addons takes points in pixels; it equals `zeros` padding with `align_corners=True`.
"""

import numpy as np
import pytest
import tensorflow as tf

import stn_tf

tfa = pytest.importorskip("tensorflow_addons", reason="run by `make addons-test`")


@pytest.fixture
def images(rng: np.random.Generator) -> tf.Tensor:
    return tf.constant(rng.normal(size=(3, 7, 9, 4)).astype(np.float32))


@pytest.fixture
def grid(rng: np.random.Generator) -> tf.Tensor:
    return tf.constant(rng.uniform(-1.4, 1.4, (3, 5, 6, 2)).astype(np.float32))


def resampled(images: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
    extent = tf.constant([images.shape[2] - 1, images.shape[1] - 1], tf.float32)
    return tfa.image.resampler(images, (grid + 1.0) / 2.0 * extent)


def sampled(images: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
    return stn_tf.grid_sample(images, grid, align_corners=True)


def test_values(images: tf.Tensor, grid: tf.Tensor) -> None:
    expected = resampled(images, grid)
    assert np.abs(expected).max() > 1.0
    np.testing.assert_allclose(sampled(images, grid), expected, atol=1e-5)
    np.testing.assert_allclose(tf.function(sampled)(images, grid), expected, atol=1e-5)


def test_gradients(images: tf.Tensor, grid: tf.Tensor, rng: np.random.Generator) -> None:
    cotangent = rng.normal(size=(3, 5, 6, 4)).astype(np.float32)
    gradients = []
    for function in (resampled, sampled):
        with tf.GradientTape() as tape:
            tape.watch([images, grid])
            value = tf.reduce_sum(cotangent * function(images, grid))
        gradients.append([tf.convert_to_tensor(g) for g in tape.gradient(value, [images, grid])])
    for expected, computed in zip(*gradients, strict=True):
        assert np.abs(expected).max() > 1.0
        np.testing.assert_allclose(computed, expected, atol=1e-4)
