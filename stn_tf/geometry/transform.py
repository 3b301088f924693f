"""What every family of transforms can do; each file beside this one defines a family."""

import abc
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf

from stn_tf import shape
from stn_tf.geometry.points import Points, affine_map, base_points, projective_map


class Transform(abc.ABC):
    """A family of maps from output points to input points, with parameters theta.

    Convention: theta maps output to input (a backward warp); points are (x, y) or (x, y, z) in
    [-1, 1], y and z pointing down and inwards as the pixels' indices do.

    A family of your own is a subclass: of `MatrixTransform` where matrices tell the whole map.
    Layers take an instance of it as `transform`, and Keras saves them if the class is registered:

        @keras.saving.register_keras_serializable("my_package")
        class Rigid(stn_tf.geometry.MatrixTransform):
            ...

    What its constructor takes, `options` returns.
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
    def _map(self, theta: tf.Tensor, points: Points) -> list[tf.Tensor]:
        """Maps points `[P, d]`; one tensor `[..., P]` for each of the d coordinates.

        The points are a float64 array, or a tensor where P is known only when a graph runs.
        """

    def map_points(self, theta: Any, points: Points) -> tf.Tensor:
        """Returns where `points` `[P, d]` read the input: `[..., P, d]`, float32 or wider."""
        if not tf.is_tensor(points):
            points = np.asarray(points, np.float64)
        return tf.stack(self._map(self.check(theta), points), axis=-1)

    def grid(
        self, theta: Any, size: Sequence[int] | tf.Tensor, *, align_corners: bool = False
    ) -> tf.Tensor:
        """Returns where each output pixel reads the input: `[..., *size, d]`.

        The size may be an integer tensor, where it is known only when a graph runs.
        """
        size = shape.check_dynamic_size("size", size, self.dimensions)
        points = self.map_points(theta, base_points(size, align_corners=align_corners))
        leading = tf.shape(points)[:-2]
        grid = tf.reshape(points, tf.concat([leading, size, [self.dimensions]], axis=0))
        known = [None] * self.dimensions if tf.is_tensor(size) else size
        grid.set_shape([*points.shape[:-2], *known, self.dimensions])
        return grid

    def check(self, theta: Any) -> tf.Tensor:
        """Returns theta as a tensor of at least float32, or raises."""
        theta = tf.convert_to_tensor(theta)
        shape.check_floating("theta", theta)
        shape.check_trailing("theta", theta, self.theta_shape)
        return tf.cast(theta, tf.float32) if theta.dtype.size < 4 else theta

    def options(self) -> dict[str, Any]:
        """The keyword arguments that make this transform again."""
        return {}

    def get_config(self) -> dict[str, Any]:
        """The options, under the name that Keras asks for."""
        return self.options()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Returns the transform of these options."""
        return cls(**config)


class MatrixTransform(Transform):
    """A family whose maps are matrices, closed under composition and inversion.

    Attributes:
        affine: Whether the last row of every matrix is (0, ..., 0, 1). Where it is not, points
            are divided by what that row gives, and a matrix may have any scale.
    """

    affine: ClassVar[bool] = False

    @abc.abstractmethod
    def matrix(self, theta: Any) -> tf.Tensor:
        """Returns the homogeneous matrices `[..., d + 1, d + 1]` of theta."""

    @abc.abstractmethod
    def from_matrix(self, matrix: tf.Tensor) -> tf.Tensor:
        """Returns the theta of matrices that belong to the family."""

    def _map(self, theta: tf.Tensor, points: Points) -> list[tf.Tensor]:
        matrix = self.matrix(theta)
        count = self.dimensions + 1
        rows = [[matrix[..., row, column] for column in range(count)] for row in range(count)]
        return affine_map(rows[:-1], points) if self.affine else projective_map(rows, points)
