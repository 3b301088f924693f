"""Nothing on the way to the points is a matrix product, which graphics cards compute in TF32."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.geometry import TRANSFORMS, get_transform


def random_theta(transform: str) -> tf.Tensor:
    family = get_transform(transform)
    noise = np.random.default_rng(1).uniform(-0.2, 0.2, (2, *family.theta_shape))
    return tf.constant(family.identity() + noise, tf.float32)


def kinds_of_operations(function: Callable[..., tf.Tensor], *thetas: tf.Tensor) -> set[str]:
    """Of the function and of its gradients."""

    @tf.function
    def both(*thetas: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(thetas)
            output = function(*thetas)
        return [output, *tape.gradient(output, thetas)]

    graph = both.get_concrete_function(*thetas).graph.as_graph_def()
    nodes = [*graph.node, *(node for body in graph.library.function for node in body.node_def)]
    return {node.op for node in nodes}


def assert_no_matrix_product(kinds: set[str]) -> None:
    assert "Mul" in kinds
    assert not {kind for kind in kinds if "MatMul" in kind or "Einsum" in kind}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_grids(transform: str) -> None:
    family = get_transform(transform)
    size = (3, 4, 5)[: family.dimensions]
    theta = random_theta(transform)
    assert_no_matrix_product(kinds_of_operations(lambda t: family.grid(t, size), theta))

    def late(theta: tf.Tensor) -> tf.Tensor:
        # Of a length that a graph does not know.
        count = tf.size(tf.where(theta > -10.0)[:, 0]) // tf.size(theta)
        return family.grid(theta, tf.stack([count + 2] * family.dimensions))

    assert_no_matrix_product(kinds_of_operations(late, theta))


@pytest.mark.parametrize("transform", [name for name in TRANSFORMS if name != "tps"])
def test_compose(transform: str) -> None:
    theta = random_theta(transform)
    assert_no_matrix_product(
        kinds_of_operations(lambda a, b: stn_tf.compose(a, b, transform=transform), theta, theta)
    )


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_corners(transform: str) -> None:
    size = (3, 4, 5)[: get_transform(transform).dimensions]
    theta = random_theta(transform)
    assert_no_matrix_product(
        kinds_of_operations(lambda t: stn_tf.corners_pixels(t, size, transform=transform), theta)
    )
