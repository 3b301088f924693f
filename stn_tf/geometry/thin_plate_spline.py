"""Thin plate splines: a smooth map that moves a square of control points."""

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf

from stn_tf.geometry.points import Points, base_points, coordinate, weighted_sums
from stn_tf.geometry.transform import Transform


@dataclasses.dataclass(frozen=True)
class ThinPlateSpline(Transform):
    """The smoothest map that moves k x k control points by the offsets theta `[..., k * k, 2]`.

    Attributes:
        control_points: k, at least 2. The points span the image, its edges included.
        regularisation: 0 moves the control points exactly; more makes the map stiffer.
    """

    name = "tps"

    control_points: int = 4
    regularisation: float = 0.0

    def __post_init__(self) -> None:
        if self.control_points < 2:
            raise ValueError(
                "`control_points` must be at least 2, for 2 x 2 points, "
                f"but it is {self.control_points!r}."
            )
        if not self.regularisation >= 0.0:
            raise ValueError(
                f"`regularisation` must be at least 0, but it is {self.regularisation}."
            )

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(
            f"{axis}{index}" for index in range(self.control_points**2) for axis in ("x", "y")
        )

    @property
    def theta_shape(self) -> tuple[int, ...]:
        return (self.control_points**2, 2)

    def identity(self) -> np.ndarray:
        return np.zeros(self.theta_shape, np.float32)

    def options(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def _map(self, theta: tf.Tensor, points: Points) -> list[tf.Tensor]:
        solution = self._solution()
        if isinstance(points, np.ndarray):
            # How far each point follows each control point, `[P, k * k]`, in float64.
            basis = np.concatenate([_radial(points, self._control), _affine(points)], axis=1)
            moved = weighted_sums(basis @ solution, theta)
        else:
            wide = tf.cast(theta, tf.float64)
            coefficients = tf.stack(weighted_sums(solution, wide), axis=-1)
            moved = weighted_sums(_dynamic_basis(points, self._control), coefficients)
        return [
            coordinate(points, axis, theta.dtype) + tf.cast(moved[axis], theta.dtype)
            for axis in range(2)
        ]

    @property
    def _control(self) -> np.ndarray:
        """`[k * k, 2]`: where the control points are."""
        return base_points((self.control_points,) * 2, align_corners=True)

    def _solution(self) -> np.ndarray:
        """`[k * k + 3, k * k]`: the spline's coefficients for each control point's offset."""
        control = self._control
        count = len(control)
        system = np.zeros((count + 3, count + 3))
        system[:count, :count] = _radial(control, control) + self.regularisation * np.eye(count)
        system[:count, count:] = _affine(control)
        system[count:, :count] = _affine(control).T
        solution: np.ndarray = np.linalg.inv(system)[:, :count]
        return solution


def _radial(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """`r^2 log r^2`, whose limit at r = 0 is 0."""
    square = np.sum((points[:, np.newaxis] - centres[np.newaxis]) ** 2, axis=-1)
    kernel: np.ndarray = square * np.log(np.where(square > 0, square, 1.0))
    return kernel


def _affine(points: np.ndarray) -> np.ndarray:
    return np.concatenate([np.ones((len(points), 1)), points], axis=1)


def _dynamic_basis(points: tf.Tensor, centres: np.ndarray) -> tf.Tensor:
    """Both of the above beside each other, for a tensor of points."""
    square = tf.reduce_sum((points[:, tf.newaxis] - centres) ** 2, axis=-1)
    radial = square * tf.math.log(tf.where(square > 0, square, tf.ones_like(square)))
    return tf.concat([radial, tf.ones_like(points[:, :1]), points], axis=1)


def thin_plate_spline_grid(
    theta: Any,
    size: tuple[int, int],
    *,
    regularisation: float = 0.0,
    align_corners: bool = False,
) -> tf.Tensor:
    """Returns where each output pixel reads the input, for a thin plate spline.

    Convention: theta maps output to input; the grid holds (x, y) in [-1, 1], which are the outer
    edges of the image, or with `align_corners` the centres of its outer pixels. The control
    points are a regular k x k square from (-1, -1) to (1, 1), x fastest; zero is the identity.

    Args:
        theta: `[A1, ..., An, k * k, 2]`, float: how far each control point moves, (x, y). k is at
            least 2; the paper has 4.
        size: Output height and width in pixels, each at least 1.
        regularisation: 0 moves the control points exactly; more makes the map stiffer.
        align_corners: See the convention.

    Returns:
        `[A1, ..., An, height, width, 2]`, float32 or wider.

    Raises:
        ValueError: If `theta` is not `[..., k * k, 2]`, a size is below 1 or `regularisation` is
            negative.
        TypeError: If `theta` is not floating-point.

    Source: Jaderberg et al. 2015, section 3.2, https://arxiv.org/abs/1506.02025; Bookstein 1989.
    """
    theta = tf.convert_to_tensor(theta)
    points = theta.shape[-2] if theta.shape.rank is not None and theta.shape.rank > 1 else None
    if points is None or math.isqrt(points) ** 2 != points:
        raise ValueError(
            "`theta` must have shape [..., k * k, 2] with a known whole k, "
            f"but it has shape {theta.shape}."
        )
    spline = ThinPlateSpline(math.isqrt(points), regularisation)
    return spline.grid(theta, size, align_corners=align_corners)
