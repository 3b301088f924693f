"""Affine maps of the plane."""

from typing import Any

import numpy as np
import tensorflow as tf

from stn_tf.geometry.points import Points, affine_map, homogeneous
from stn_tf.geometry.transform import MatrixTransform


class Affine(MatrixTransform):
    """`(x_s, y_s) = theta (x_t, y_t, 1)` with theta `[..., 2, 3]`."""

    name = "affine"
    affine = True
    parameters = ("xx", "xy", "tx", "yx", "yy", "ty")
    theta_shape = (2, 3)

    def identity(self) -> np.ndarray:
        return np.eye(2, 3, dtype=np.float32)

    def _rows(self, theta: tf.Tensor) -> list[list[tf.Tensor]]:
        return [[theta[..., row, column] for column in range(3)] for row in range(2)]

    def _map(self, theta: tf.Tensor, points: Points) -> list[tf.Tensor]:
        return affine_map(self._rows(theta), points)

    def matrix(self, theta: Any) -> tf.Tensor:
        return homogeneous(self._rows(self.check(theta)))

    def from_matrix(self, matrix: tf.Tensor) -> tf.Tensor:
        return matrix[..., :2, :]


def affine_grid(theta: Any, size: tuple[int, int], *, align_corners: bool = False) -> tf.Tensor:
    """Returns where each output pixel reads the input.

    Convention: theta maps output to input; the grid holds (x, y) in [-1, 1], which are the outer
    edges of the image, or with `align_corners` the centres of its outer pixels.

    Args:
        theta: `[A1, ..., An, 2, 3]`, float.
        size: Output height and width in pixels, each at least 1.
        align_corners: See the convention.

    Returns:
        `[A1, ..., An, height, width, 2]`, float32 or wider.

    Raises:
        ValueError: If `theta` is not `[..., 2, 3]` or a size is below 1.
        TypeError: If `theta` is not floating-point.

    Source: Jaderberg et al. 2015, eq. 1, https://arxiv.org/abs/1506.02025.
    """
    return Affine().grid(theta, size, align_corners=align_corners)
