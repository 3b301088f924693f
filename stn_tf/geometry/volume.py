"""Affine maps of volumes."""

from typing import Any

import numpy as np
import tensorflow as tf

from stn_tf.geometry.points import Points, affine_map, homogeneous
from stn_tf.geometry.transform import MatrixTransform


class Affine3D(MatrixTransform):
    """`(x_s, y_s, z_s) = theta (x_t, y_t, z_t, 1)` with theta `[..., 3, 4]`."""

    name = "affine-3d"
    dimensions = 3
    affine = True
    parameters = ("xx", "xy", "xz", "tx", "yx", "yy", "yz", "ty", "zx", "zy", "zz", "tz")
    theta_shape = (3, 4)

    def identity(self) -> np.ndarray:
        return np.eye(3, 4, dtype=np.float32)

    def _rows(self, theta: tf.Tensor) -> list[list[tf.Tensor]]:
        return [[theta[..., row, column] for column in range(4)] for row in range(3)]

    def _map(self, theta: tf.Tensor, points: Points) -> list[tf.Tensor]:
        return affine_map(self._rows(theta), points)

    def matrix(self, theta: Any) -> tf.Tensor:
        return homogeneous(self._rows(self.check(theta)))

    def from_matrix(self, matrix: tf.Tensor) -> tf.Tensor:
        return matrix[..., :3, :]


def affine_grid_3d(
    theta: Any, size: tuple[int, int, int], *, align_corners: bool = False
) -> tf.Tensor:
    """Returns where each output voxel reads the input.

    Convention: theta maps output to input; the grid holds (x, y, z) in [-1, 1], which are the
    outer faces of the volume, or with `align_corners` the centres of its outer voxels.

    Args:
        theta: `[A1, ..., An, 3, 4]`, float.
        size: Output depth, height and width in voxels, each at least 1.
        align_corners: See the convention.

    Returns:
        `[A1, ..., An, depth, height, width, 3]`, float32 or wider.

    Raises:
        ValueError: If `theta` is not `[..., 3, 4]` or a size is below 1.
        TypeError: If `theta` is not floating-point.

    Source: Jaderberg et al. 2015, appendix A.3, https://arxiv.org/abs/1506.02025.
    """
    return Affine3D().grid(theta, size, align_corners=align_corners)
