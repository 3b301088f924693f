"""What every family of transforms can do; each file beside this one defines a family."""

import abc
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from stn_tf import shape


class Transform(abc.ABC):
    """A family of maps from output points to input points, with parameters theta.

    Convention: theta maps output to input (a backward warp); points are (x, y) or (x, y, z) in
    [-1, 1], y and z pointing down and inwards as the pixels' indices do.
    """

    name: ClassVar[str]
    dimensions: ClassVar[int] = 2

    @property
    @abc.abstractmethod
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters, in the order of a flattened theta."""

    @property
    @abc.abstractmethod
    def theta_shape(self) -> tuple[int, ...]:
        """The trailing dimensions of theta."""

    @abc.abstractmethod
    def identity(self) -> np.ndarray:
        """The theta, float32 `theta_shape`, that maps every point to itself."""

    @abc.abstractmethod
    def _map(self, theta: tf.Tensor, points: np.ndarray) -> list[tf.Tensor]:
        """Maps constant points `[P, d]`; one tensor `[..., P]` for each of the d coordinates."""

    def map_points(self, theta: Any, points: np.ndarray) -> tf.Tensor:
        """Returns where `points` `[P, d]` read the input: `[..., P, d]`, float32 or wider."""
        return tf.stack(self._map(self.check(theta), np.asarray(points, np.float64)), axis=-1)

    def grid(self, theta: Any, size: Sequence[int], *, align_corners: bool = False) -> tf.Tensor:
        """Returns where each output pixel reads the input: `[..., *size, d]`."""
        size = shape.check_size("size", size, self.dimensions)
        points = self.map_points(theta, base_points(size, align_corners=align_corners))
        leading = tf.shape(points)[:-2]
        grid = tf.reshape(points, tf.concat([leading, [*size, self.dimensions]], axis=0))
        grid.set_shape([*points.shape[:-2], *size, self.dimensions])
        return grid

    def check(self, theta: Any) -> tf.Tensor:
        """Returns theta as a tensor of at least float32, or raises."""
        theta = tf.convert_to_tensor(theta)
        shape.check_floating("theta", theta)
        shape.check_trailing("theta", theta, self.theta_shape)
        return tf.cast(theta, tf.float32) if theta.dtype.size < 4 else theta

    def options(self) -> dict[str, Any]:
        """The keyword arguments that make this transform again, for `get_config`."""
        return {}


class MatrixTransform(Transform):
    """A family whose maps are matrices, closed under composition and inversion."""

    @abc.abstractmethod
    def matrix(self, theta: Any) -> tf.Tensor:
        """Returns the homogeneous matrices `[..., d + 1, d + 1]` of theta."""

    @abc.abstractmethod
    def from_matrix(self, matrix: tf.Tensor) -> tf.Tensor:
        """Returns the theta of matrices that belong to the family."""


def base_points(size: Sequence[int], *, align_corners: bool = False) -> np.ndarray:
    """Returns the normalised coordinates of every output pixel, `[P, d]` float64, x fastest."""
    axes = []
    for length in size:
        index = np.arange(length, dtype=np.float64)
        if align_corners:
            axes.append(2.0 * index / (length - 1) - 1.0 if length > 1 else index * 0.0)
        else:
            axes.append((2.0 * index + 1.0) / length - 1.0)
    planes = np.meshgrid(*axes, indexing="ij")
    return np.stack([plane.reshape(math.prod(size)) for plane in reversed(planes)], axis=-1)


def affine_map(rows: Sequence[Sequence[tf.Tensor]], points: np.ndarray) -> list[tf.Tensor]:
    """Applies rows of coefficients `[...]`, the last one added, to constant points `[P, d]`.

    Sums of products rather than a matrix product: exact for the identity, and never in TF32.
    """
    coordinates = []
    for *factors, shift in rows:
        columns = [tf.constant(points[:, axis], shift.dtype) for axis in range(len(factors))]
        total = factors[0][..., tf.newaxis] * columns[0]
        for factor, column in zip(factors[1:], columns[1:], strict=True):
            total += factor[..., tf.newaxis] * column
        coordinates.append(total + shift[..., tf.newaxis])
    return coordinates


def homogeneous(rows: Sequence[Sequence[tf.Tensor]]) -> tf.Tensor:
    """Stacks affine rows of coefficients `[...]` and appends the row (0, ..., 0, 1)."""
    one = tf.ones_like(rows[0][0])
    zero = tf.zeros_like(one)
    last = [zero] * (len(rows[0]) - 1) + [one]
    return tf.stack([tf.stack(list(row), axis=-1) for row in [*rows, last]], axis=-2)
