"""Gradients of images in half precision are sums in float32, rounded once."""

import numpy as np
import tensorflow as tf

import stn_tf
from stn_tf.sampling.grid_sample import KERNELS
from tests.sampling.samplers import every_pair_with_samplers

POINTS = 3000  # A bfloat16 that counts them stops at 256, a float16 at 2048.


@every_pair_with_samplers(
    kernel=KERNELS, dtype=[tf.bfloat16, tf.float16], jit_compile=[None, False, True]
)
def test_many_points_read_one_pixel(
    kernel: str, dtype: tf.DType, jit_compile: bool | None, rng: np.random.Generator
) -> None:
    grid = np.zeros((1, 1, POINTS, 2), np.float32)  # The middle of 3 x 3 pixels.
    grid[0, 0, ::7] += rng.uniform(-0.3, 0.3, grid[0, 0, ::7].shape)
    upstream = rng.choice([1.0, 0.5], (1, 1, POINTS, 1)).astype(np.float32)

    def gradient(images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            shown = stn_tf.grid_sample(images, grid, kernel=kernel)
        return tape.gradient(shown, images, tf.cast(upstream, images.dtype))

    call = gradient if jit_compile is None else tf.function(gradient, jit_compile=jit_compile)
    half, full = call(tf.zeros([1, 3, 3, 1], dtype)), gradient(tf.zeros([1, 3, 3, 1]))
    assert half.dtype == dtype
    assert float(full[0, 1, 1, 0]) > 2048
    # One rounding, and the noise of sums in another order.
    eps = 2.0**-8 if dtype == tf.bfloat16 else 2.0**-11
    np.testing.assert_allclose(tf.cast(half, tf.float32), full, rtol=1.01 * eps, atol=1e-3)
