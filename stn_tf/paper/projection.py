"""Backward warp of images by a projective transform of pixels."""

import tensorflow as tf


def project(images: tf.Tensor, transforms: tf.Tensor, canvas: tuple[int, int]) -> tf.Tensor:
    """Reads each canvas pixel from the image, between pixels, and zero outside.

    Convention: pixel (0, 0)'s centre is (0.0, 0.0). The canvas pixel (x, y) reads the image at
    `((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k)` with `k = c0 x + c1 y + 1`.

    There is no anti-aliasing: bilinear taps reach one pixel to each side, so that down to a scale
    of 0.5 every pixel of the image counts. To shrink further, ask for a finer canvas and average.

    Args:
        images: `[N, h, w, C]`, float.
        transforms: `[N, 8]`: a0, a1, a2, b0, b1, b2, c0, c1.
        canvas: Height and width of what is returned.

    Returns:
        `[N, H, W, C]`.
    """
    # On a CPU, for one channel, 3 to 4 times as fast as a grid and gathers.
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=canvas,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
