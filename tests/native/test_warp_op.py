"""StnTf>Warp: the grid is computed while sampling, and must be the one of the geometry."""

import numpy as np
import pytest
import tensorflow as tf

import stn_tf
from stn_tf import native
from stn_tf.geometry import get_transform
from stn_tf.sampling import portable
from stn_tf.sampling.grid_sample import KERNELS, PADDINGS
from tests.pairs import every_pair

# Near the identity, and upright windows, which are read row by row.
THETAS = {
    "affine": lambda rng: np.eye(2, 3) + rng.normal(0, 0.3, (3, 2, 3)),
    "attention": lambda rng: stn_tf.identity("attention") + rng.normal(0, 0.4, (3, 3)),
    "similarity": lambda rng: stn_tf.identity("similarity") + rng.normal(0, 0.3, (3, 4)),
    "projective": lambda rng: stn_tf.identity("projective") + rng.normal(0, 0.15, (3, 8)),
}


def by_way_of_the_grid(images: tf.Tensor, theta: tf.Tensor, transform: str, options: tuple):
    grid = get_transform(transform).grid(theta, (7, 150), align_corners=options[2])
    return portable.sample(images, grid, *options)


def call(images: tf.Tensor, theta: tf.Tensor, transform: str, options: tuple) -> tf.Tensor:
    kernel, padding, align_corners = options
    return stn_tf.warp(
        images,
        theta,
        (7, 150),
        transform=transform,
        kernel=kernel,
        padding=padding,
        align_corners=align_corners,
    )


@every_pair(
    channels=[1, 3, 6],
    transform=[*THETAS],
    kernel=KERNELS,
    padding=PADDINGS,
    align_corners=[False, True],
)
def test_values_and_gradients(
    channels: int,
    transform: str,
    kernel: str,
    padding: str,
    align_corners: bool,
    rng: np.random.Generator,
) -> None:
    options = kernel, padding, align_corners
    images = tf.constant(rng.normal(size=(3, 9, 8, channels)))
    theta = tf.constant(THETAS[transform](rng))
    upstream = tf.constant(rng.normal(size=(3, 7, 150, channels)))
    results = []
    for function in (call, by_way_of_the_grid):
        with tf.GradientTape() as tape:
            tape.watch([images, theta])
            output = function(images, theta, transform, options)
        results.append([output, *tape.gradient(output, [images, theta], upstream)])
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


def test_the_operation_is_used(rng: np.random.Generator) -> None:
    @tf.function
    def warp(images: tf.Tensor, theta: tf.Tensor) -> tf.Tensor:
        with stn_tf.native_sampler():
            return stn_tf.warp(images, theta, (4, 5), transform="attention")

    function = warp.get_concrete_function(tf.TensorSpec([None, 8, 8, 3]), tf.TensorSpec([None, 3]))
    kinds = {node.op for node in function.graph.as_graph_def().node}
    assert "StnTf>Warp" in kinds
    assert "StnTf>GridSample" not in kinds
    assert function.output_shapes.as_list() == [None, 4, 5, 3]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("transform", THETAS)
@pytest.mark.parametrize("width", [1, 2, 42, 60, 224, 1921])
def test_identity_is_exact(
    width: int, transform: str, align_corners: bool, rng: np.random.Generator
) -> None:
    images = rng.normal(size=(1, 5, width, 2)).astype(np.float32)
    theta = stn_tf.identity(transform)[None]
    shown = stn_tf.warp(images, theta, (5, width), transform=transform, align_corners=align_corners)
    np.testing.assert_array_equal(shown, images)


def test_a_horizon_in_the_image_is_far_outside(rng: np.random.Generator) -> None:
    # The depth 1 + 2 x vanishes at x = -1/2, the centre of the second of four columns.
    theta = tf.constant([[1.0, 0, 0, 0, 1, 0, 2, 0]])
    images = tf.constant(rng.normal(size=(1, 4, 6, 1)).astype(np.float32))
    results = []
    for sampler in (True, False):
        with stn_tf.native_sampler(sampler), tf.GradientTape() as tape:
            tape.watch(theta)
            output = stn_tf.warp(images, theta, (4, 2), transform="projective")
        results.append((output, tape.gradient(output, theta)))
    for actual, expected in zip(*results, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_gradients_are_the_same_for_any_number_of_threads(rng: np.random.Generator) -> None:
    images = tf.constant(rng.normal(size=(2, 60, 70, 3)).astype(np.float32))
    theta = tf.constant((np.eye(2, 3) + rng.normal(0, 0.1, (2, 2, 3))).astype(np.float32))
    found = set()
    try:
        for threads in (1, 2, 5):
            native.set_threads(threads)
            with tf.GradientTape() as tape:
                tape.watch([images, theta])
                output = stn_tf.warp(images, theta, (200, 300))
            both = tape.gradient(output, [images, theta])
            found.add(tuple(gradient.numpy().tobytes() for gradient in both))
    finally:
        native.set_threads(0)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("images", "theta", "size", "message"),
    [
        ((2, 4, 4), (2, 2, 3), (2, 2), "`images` must be"),
        ((2, 4, 4, 1), (3, 2, 3), (2, 2), r"`theta` must be \[N, 2, 3\] .*\[3, 2, 3\]"),
        ((2, 4, 4, 1), (2, 6), (2, 2), r"`theta` must be .*\[2, 6\]"),
        ((2, 4, 4, 1), (2, 2, 3), (0, 2), "`height` and `width` must be at least 1"),
    ],
)
def test_arguments_that_do_not_fit(
    images: tuple, theta: tuple, size: tuple[int, int], message: str
) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        native.operations().stn_tf_warp(
            *(tf.ones(images), tf.ones(theta)),
            kernel="bilinear",
            padding="zeros",
            align_corners=False,
            transform="affine",
            height=size[0],
            width=size[1],
        )
