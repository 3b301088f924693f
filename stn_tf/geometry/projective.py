"""Projective maps: what a flat object looks like from another place."""

from typing import Any

import numpy as np
import tensorflow as tf

from stn_tf.geometry.points import Points, projective_map
from stn_tf.geometry.transform import MatrixTransform


class Projective(MatrixTransform):
    """A homography whose last entry is 1, theta being the other eight, row by row."""

    name = "projective"
    parameters = ("xx", "xy", "tx", "yx", "yy", "ty", "px", "py")
    theta_shape = (8,)

    def identity(self) -> np.ndarray:
        return np.eye(3, dtype=np.float32).reshape(9)[:8]

    def _map(self, theta: tf.Tensor, points: Points) -> list[tf.Tensor]:
        entries = tf.unstack(theta, axis=-1)
        rows = [entries[:3], entries[3:6], [*entries[6:], tf.ones_like(entries[0])]]
        return projective_map(rows, points)

    def matrix(self, theta: Any) -> tf.Tensor:
        theta = self.check(theta)
        theta = tf.concat([theta, tf.ones_like(theta[..., :1])], axis=-1)
        return tf.reshape(theta, tf.concat([tf.shape(theta)[:-1], [3, 3]], axis=0))

    def from_matrix(self, matrix: tf.Tensor) -> tf.Tensor:
        entries = tf.reshape(matrix, tf.concat([tf.shape(matrix)[:-2], [9]], axis=0))
        # Theta cannot hold a last entry of 0, with the image's middle on the horizon; the least
        # that the others do not drown is as good.
        least = tf.reduce_max(tf.abs(entries), axis=-1, keepdims=True)
        least *= float(np.finfo(entries.dtype.as_numpy_dtype).eps)
        last = entries[..., 8:]
        last = tf.where(tf.abs(last) < least, tf.where(last < 0, -least, least), last)
        return entries[..., :8] / last


def projective_grid(theta: Any, size: tuple[int, int], *, align_corners: bool = False) -> tf.Tensor:
    """Returns where each output pixel reads the input, for a homography.

    Convention: theta maps output to input; the grid holds (x, y) in [-1, 1], which are the outer
    edges of the image, or with `align_corners` the centres of its outer pixels.

    Args:
        theta: `[A1, ..., An, 8]`, float: the entries of a 3x3 matrix row by row, its last being 1.
        size: Output height and width in pixels, each at least 1.
        align_corners: See the convention.

    Returns:
        `[A1, ..., An, height, width, 2]`, float32 or wider. Points on the horizon, where the
        division has no value, lie far outside.

    Raises:
        ValueError: If `theta` is not `[..., 8]` or a size is below 1.
        TypeError: If `theta` is not floating-point.

    Source: Jaderberg et al. 2015, section 3.2, https://arxiv.org/abs/1506.02025.
    """
    return Projective().grid(theta, size, align_corners=align_corners)
