"""Attention: an upright window of the image, at one scale."""

from typing import Any

import numpy as np
import tensorflow as tf

from stn_tf.geometry.points import Points, affine_map, homogeneous
from stn_tf.geometry.transform import MatrixTransform


class Attention(MatrixTransform):
    """`(x_s, y_s) = scale (x_t, y_t) + (tx, ty)` with theta (scale, tx, ty)."""

    name = "attention"
    affine = True
    parameters = ("scale", "tx", "ty")
    theta_shape = (3,)

    def identity(self) -> np.ndarray:
        return np.array([1.0, 0.0, 0.0], np.float32)

    def _rows(self, theta: tf.Tensor) -> list[list[tf.Tensor]]:
        scale, tx, ty = tf.unstack(theta, axis=-1)
        zero = tf.zeros_like(scale)
        return [[scale, zero, tx], [zero, scale, ty]]

    def _map(self, theta: tf.Tensor, points: Points) -> list[tf.Tensor]:
        scale, tx, ty = tf.unstack(theta, axis=-1)
        # Each coordinate depends on its own axis only.
        return [
            affine_map([[scale, shift]], points[:, axis : axis + 1])[0]
            for axis, shift in enumerate((tx, ty))
        ]

    def matrix(self, theta: Any) -> tf.Tensor:
        return homogeneous(self._rows(self.check(theta)))

    def from_matrix(self, matrix: tf.Tensor) -> tf.Tensor:
        return tf.stack([matrix[..., 0, 0], matrix[..., 0, 2], matrix[..., 1, 2]], axis=-1)


def attention_grid(theta: Any, size: tuple[int, int], *, align_corners: bool = False) -> tf.Tensor:
    """Returns where each output pixel reads the input, for an upright window.

    Convention: theta maps output to input; the grid holds (x, y) in [-1, 1], which are the outer
    edges of the image, or with `align_corners` the centres of its outer pixels.

    Args:
        theta: `[A1, ..., An, 3]`, float: scale (below 1 zooms in), tx, ty (the window's centre).
        size: Output height and width in pixels, each at least 1.
        align_corners: See the convention.

    Returns:
        `[A1, ..., An, height, width, 2]`, float32 or wider.

    Raises:
        ValueError: If `theta` is not `[..., 3]` or a size is below 1.
        TypeError: If `theta` is not floating-point.

    Source: Jaderberg et al. 2015, eq. 2, https://arxiv.org/abs/1506.02025.
    """
    return Attention().grid(theta, size, align_corners=align_corners)
