"""Families of a user's own: warped as their matrices or maps say, by either sampler."""

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.geometry import MatrixTransform, Transform
from stn_tf.geometry.affine import Affine
from stn_tf.geometry.projective import Projective
from tests import reference


class Homography(MatrixTransform):
    """All nine entries, in any scale."""

    name = "homography"
    parameters = tuple("abcdefghi")
    theta_shape = (9,)

    def identity(self) -> np.ndarray:
        return 3.0 * np.eye(3, dtype=np.float32).ravel()

    def matrix(self, theta: Any) -> tf.Tensor:
        theta = self.check(theta)
        return tf.reshape(theta, tf.concat([tf.shape(theta)[:-1], [3, 3]], axis=0))

    def from_matrix(self, matrix: tf.Tensor) -> tf.Tensor:
        return tf.reshape(matrix, tf.concat([tf.shape(matrix)[:-2], [9]], axis=0))


class NamedAffine(Homography):
    """A name of ours on what is nothing of the kind."""

    name = "affine"


class Shift(MatrixTransform):
    """Says that it is affine, and takes a name of ours."""

    name = "attention"
    affine = True
    parameters = ("x", "y")
    theta_shape = (2,)

    def identity(self) -> np.ndarray:
        return np.zeros(2, np.float32)

    def matrix(self, theta: Any) -> tf.Tensor:
        theta = self.check(theta)
        base = tf.eye(3, batch_shape=tf.shape(theta)[:-1], dtype=theta.dtype)
        return base + tf.pad(
            theta[..., tf.newaxis], [*[[0, 0]] * (theta.shape.rank - 1), [0, 1], [2, 0]]
        )

    def from_matrix(self, matrix: tf.Tensor) -> tf.Tensor:
        return matrix[..., :2, 2]


class Doubled(Affine):
    """A subclass of ours that means something else by theta."""

    def _rows(self, theta: tf.Tensor) -> list[list[tf.Tensor]]:
        return super()._rows(2.0 * theta)


class Transposed(Projective):
    def matrix(self, theta: Any) -> tf.Tensor:
        return tf.linalg.matrix_transpose(super().matrix(theta))

    _map = MatrixTransform._map


class Swirl(Transform):
    """No matrix at all."""

    name = "affine"
    parameters = ("turn",)
    theta_shape = (1,)

    def identity(self) -> np.ndarray:
        return np.zeros(1, np.float32)

    def _map(self, theta: tf.Tensor, points: Any) -> list[tf.Tensor]:
        x, y = (tf.constant(points[:, axis], theta.dtype) for axis in range(2))
        angle = theta * (x * x + y * y)
        return [x * tf.cos(angle) - y * tf.sin(angle), x * tf.sin(angle) + y * tf.cos(angle)]


def by_matrix(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    mapped = np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1) @ matrix.T
    return mapped[..., :2] / mapped[..., 2:]


def doubled(theta: np.ndarray, points: np.ndarray) -> np.ndarray:
    return by_matrix(np.concatenate([2 * theta, [[0, 0, 1]]]), points)


def swirl(theta: np.ndarray, points: np.ndarray) -> np.ndarray:
    z = points[..., 0] + 1j * points[..., 1]
    turned = z * np.exp(1j * theta[0] * np.abs(z) ** 2)
    return np.stack([turned.real, turned.imag], axis=-1)


def square(theta: np.ndarray, points: np.ndarray) -> np.ndarray:
    return by_matrix(theta.reshape(3, 3), points)


def thetas(family: Transform, rng: np.random.Generator) -> np.ndarray:
    noise = rng.normal(0, 0.2, (3, *family.theta_shape))
    if isinstance(family, Homography):
        noise[2, 8] = -3.0  # The middle of the output lies on the horizon.
        noise[2, 6] = 0.7
    return (family.identity() + noise).astype(np.float32)


# Family -> its formula for one theta, and what a graph says of its matrices.
FAMILIES: list[tuple[Transform, Any, str | None]] = [
    (Homography(), square, "projective"),
    (NamedAffine(), square, "projective"),
    (Shift(), lambda theta, points: points + theta, "affine"),
    (Doubled(), doubled, "affine"),
    (Transposed(), lambda t, p: by_matrix(np.append(t, 1).reshape(3, 3).T, p), "projective"),
    (Swirl(), swirl, None),
]
every_family = pytest.mark.parametrize(
    ("family", "formula", "label"), FAMILIES, ids=lambda value: type(value).__name__
)


@every_family
@pytest.mark.parametrize("use", [True, False])
@pytest.mark.parametrize("in_graph", [False, True])
def test_warp_is_what_the_family_says(
    family: Transform, formula: Any, label: str, in_graph: bool, use: bool, rng: Any
) -> None:
    images = rng.normal(size=(3, 7, 8, 2)).astype(np.float32)
    theta = thetas(family, rng)
    # An even size: no point is on the horizon itself.
    base = reference.base_grid((6, 4), False)
    grid = np.stack([formula(one.astype(np.float64), base) for one in theta])
    expected = reference.grid_sample(images, grid, "bilinear", "border", False)

    def show(images: Any, theta: Any) -> tf.Tensor:
        with stn_tf.native_sampler(use):
            return stn_tf.warp(images, theta, (6, 4), transform=family, padding="border")

    shown = (tf.function(show) if in_graph else show)(tf.constant(images), tf.constant(theta))
    np.testing.assert_allclose(shown, expected, atol=1e-4)


@every_family
def test_graphs_say_what_the_matrices_are(
    family: Transform, formula: Any, label: str | None, rng: Any
) -> None:
    specs = [tf.TensorSpec([None, 7, 8, 2]), tf.TensorSpec([None, *family.theta_shape])]
    function = tf.function(lambda i, t: stn_tf.warp(i, t, (6, 4), transform=family))
    library = function.get_concrete_function(*specs).graph.as_graph_def().library.function
    texts = [f.attr["_implements"].s.decode() for f in library if "_implements" in f.attr]
    warps = [text.partition(" ")[2] for text in texts if text.startswith("stn_tf.warp ")]
    assert [json.loads(text)["transform"] for text in warps] == ([label] if label else [])


@every_family
def test_map_points(family: Transform, formula: Any, label: str, rng: Any) -> None:
    theta = thetas(family, rng).astype(np.float64)
    points = rng.uniform(-1, 1, (5, 2))
    expected = np.stack([formula(one, points) for one in theta])
    np.testing.assert_allclose(family.map_points(theta, points), expected, rtol=1e-6, atol=1e-9)


def test_matrices_of_any_scale_compose(rng: np.random.Generator) -> None:
    first, second = (1e-7 * thetas(Homography(), rng)[0].astype(np.float64) for _ in range(2))
    points = rng.uniform(-1, 1, (5, 2))
    composed = stn_tf.compose(first, second, transform=Homography())
    np.testing.assert_allclose(
        Homography().map_points(composed / np.max(composed), points),
        square(second, square(first, points)),
        atol=1e-9,
    )
