"""compose, inverse, corners_pixels and the choice of a family."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import stn_tf
from stn_tf.geometry import TRANSFORMS, get_transform
from tests import reference

CLOSED = [name for name in TRANSFORMS if name != "tps"]


def random_theta(transform: str, seed: int) -> np.ndarray:
    family = get_transform(transform)
    noise = np.random.default_rng(seed).uniform(-0.25, 0.25, family.theta_shape)
    return family.identity().astype(np.float64) + noise


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31))
@pytest.mark.parametrize("transform", CLOSED)
def test_compose_random(transform: str, seed: int) -> None:
    first, second = random_theta(transform, seed), random_theta(transform, seed + 1)
    points = np.random.default_rng(seed).uniform(-1, 1, (6, get_transform(transform).dimensions))
    once = reference.transform_points(transform, first, points)
    expected = reference.transform_points(transform, second, once)
    composed = stn_tf.compose(first, second, transform=transform).numpy()
    assert composed.shape == get_transform(transform).theta_shape
    np.testing.assert_allclose(
        reference.transform_points(transform, composed, points), expected, atol=1e-10
    )


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31))
@pytest.mark.parametrize("transform", CLOSED)
def test_inverse_random(transform: str, seed: int) -> None:
    theta = random_theta(transform, seed)
    points = np.random.default_rng(seed).uniform(-1, 1, (6, get_transform(transform).dimensions))
    back = stn_tf.inverse(theta, transform=transform).numpy()
    there = reference.transform_points(transform, theta, points)
    np.testing.assert_allclose(
        reference.transform_points(transform, back, there), points, atol=1e-9
    )


def test_compose_broadcasts_batches() -> None:
    batch = np.stack([random_theta("affine", seed) for seed in range(3)])
    assert stn_tf.compose(batch, random_theta("affine", 9)).shape == (3, 2, 3)


def test_compose_warps_as_two_warps() -> None:
    image = np.zeros((1, 9, 9, 1), np.float32)
    image[0, 2:5, 3:7] = 1.0
    half_left = np.array([[1, 0, 2 / 9 * 2], [0, 1, 0]], np.float32)  # Two pixels to the left.
    two_down = np.array([[1, 0, 0], [0, 1, -2 / 9]], np.float32)  # One pixel down.
    twice = stn_tf.warp(stn_tf.warp(image, two_down[None], (9, 9)), half_left[None], (9, 9))
    once = stn_tf.warp(image, stn_tf.compose(half_left, two_down)[None], (9, 9))
    np.testing.assert_allclose(once, twice, atol=1e-6)
    np.testing.assert_allclose(once[0, 3:6, 1:5, 0], np.ones((3, 4)), atol=1e-6)


@pytest.mark.parametrize("function", ["compose", "inverse"])
def test_open_families_exception_raised(function: str) -> None:
    theta = [stn_tf.identity("tps")] * (2 if function == "compose" else 1)
    with pytest.raises(ValueError, match=r"`transform` must be closed .* but it is 'tps'"):
        getattr(stn_tf, function)(*theta, transform="tps")


def test_inverse_exception_raised() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="not invertible"):
        stn_tf.inverse(np.zeros((2, 3), np.float32))


def test_corners_pixels_preset() -> None:
    # A window of half the size in the upper left quarter of an image of 8 x 16 pixels.
    theta = np.array([0.5, -0.5, -0.5], np.float32)
    corners = stn_tf.corners_pixels(theta, (8, 16), transform="attention")
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [7.5, -0.5], [7.5, 3.5], [-0.5, 3.5]])
    centres = stn_tf.corners_pixels(theta, (8, 16), transform="attention", align_corners=True)
    np.testing.assert_allclose(centres, [[0, 0], [7.5, 0], [7.5, 3.5], [0, 3.5]])


def test_corners_pixels_turn_clockwise() -> None:
    theta = np.array([1.0, np.pi / 2, 0.0, 0.0], np.float32)
    corners = stn_tf.corners_pixels(theta, (10, 10), transform="similarity")
    np.testing.assert_allclose(
        corners, [[9.5, -0.5], [9.5, 9.5], [-0.5, 9.5], [-0.5, -0.5]], atol=1e-5
    )


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_corners_pixels_random(transform: str, align_corners: bool) -> None:
    family = get_transform(transform)
    theta = random_theta(transform, 3)
    size = (6, 7, 8)[-family.dimensions :]
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float64)
    points = square
    if family.dimensions == 3:
        points = np.array([(x, y, z) for z in (-1, 1) for x, y in square], np.float64)
    mapped = reference.transform_points(transform, theta, points)
    expected = [
        [
            reference.to_pixels(value, length, align_corners)
            for value, length in zip(point, size[::-1], strict=True)
        ]
        for point in mapped
    ]
    corners = stn_tf.corners_pixels(
        theta[np.newaxis], size, transform=transform, align_corners=align_corners
    )
    np.testing.assert_allclose(corners[0], expected, atol=1e-6)


def test_get_transform_exception_raised() -> None:
    with pytest.raises(ValueError, match=r"`transform` must be one of 'affine', .* 'afine'"):
        get_transform("afine")
    with pytest.raises(TypeError, match="'affine' does not take \\['control_points'\\]"):
        get_transform("affine", control_points=4)
    with pytest.raises(TypeError, match="need the name of a transform"):
        get_transform(get_transform("tps"), control_points=4)
