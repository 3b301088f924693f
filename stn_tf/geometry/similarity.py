"""Similarity: a turned window of the image, at one scale."""

from typing import Any

import numpy as np
import tensorflow as tf

from stn_tf.geometry.points import Points, affine_map, homogeneous
from stn_tf.geometry.transform import MatrixTransform


class Similarity(MatrixTransform):
    """`(x_s, y_s) = scale R(angle) (x_t, y_t) + (tx, ty)` with theta (scale, angle, tx, ty)."""

    name = "similarity"
    affine = True
    parameters = ("scale", "angle", "tx", "ty")
    theta_shape = (4,)

    def identity(self) -> np.ndarray:
        return np.array([1.0, 0.0, 0.0, 0.0], np.float32)

    def _rows(self, theta: tf.Tensor) -> list[list[tf.Tensor]]:
        scale, angle, tx, ty = tf.unstack(theta, axis=-1)
        cosine, sine = scale * tf.cos(angle), scale * tf.sin(angle)
        return [[cosine, -sine, tx], [sine, cosine, ty]]

    def _map(self, theta: tf.Tensor, points: Points) -> list[tf.Tensor]:
        return affine_map(self._rows(theta), points)

    def matrix(self, theta: Any) -> tf.Tensor:
        return homogeneous(self._rows(self.check(theta)))

    def from_matrix(self, matrix: tf.Tensor) -> tf.Tensor:
        cosine, sine = matrix[..., 0, 0], matrix[..., 1, 0]
        scale = tf.sqrt(cosine * cosine + sine * sine)
        angle = tf.atan2(sine, cosine)
        return tf.stack([scale, angle, matrix[..., 0, 2], matrix[..., 1, 2]], axis=-1)


def similarity_grid(theta: Any, size: tuple[int, int], *, align_corners: bool = False) -> tf.Tensor:
    """Returns where each output pixel reads the input, for a turned window.

    Convention: theta maps output to input; the grid holds (x, y) in [-1, 1], which are the outer
    edges of the image, or with `align_corners` the centres of its outer pixels. A positive
    angle turns the window clockwise as seen on the screen, and what it shows anticlockwise.

    Args:
        theta: `[A1, ..., An, 4]`, float: scale, angle in radians, tx, ty.
        size: Output height and width in pixels, each at least 1.
        align_corners: See the convention.

    Returns:
        `[A1, ..., An, height, width, 2]`, float32 or wider.

    Raises:
        ValueError: If `theta` is not `[..., 4]` or a size is below 1.
        TypeError: If `theta` is not floating-point.
    """
    return Similarity().grid(theta, size, align_corners=align_corners)
