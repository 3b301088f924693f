"""Every family's grid against its formula in float64, and its errors."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import stn_tf
from stn_tf.geometry import TRANSFORMS, get_transform
from tests import reference

GRIDS = {
    "affine": stn_tf.affine_grid,
    "attention": stn_tf.attention_grid,
    "similarity": stn_tf.similarity_grid,
    "projective": stn_tf.projective_grid,
    "tps": stn_tf.thin_plate_spline_grid,
    "affine-3d": stn_tf.affine_grid_3d,
}
SIZES = {2: (5, 7), 3: (3, 4, 5)}


def near_identity(transform: str, rng: np.random.Generator, count: int) -> np.ndarray:
    family = get_transform(transform)
    noise = rng.uniform(-0.2, 0.2, (count, *family.theta_shape))
    return (family.identity() + noise).astype(np.float32)


def test_every_family_has_a_grid_function() -> None:
    assert set(GRIDS) == set(TRANSFORMS)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_grid_random(transform: str, align_corners: bool, rng: np.random.Generator) -> None:
    theta = near_identity(transform, rng, 3)
    size = SIZES[get_transform(transform).dimensions]
    expected = reference.grid(transform, theta, size, align_corners)
    for function in (GRIDS[transform], tf.function(GRIDS[transform])):
        grid = function(theta, size, align_corners=align_corners)
        assert grid.dtype == tf.float32
        np.testing.assert_allclose(grid, expected, atol=2e-6)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_grid_identity_preset(transform: str, align_corners: bool) -> None:
    family = get_transform(transform)
    size = SIZES[family.dimensions]
    grid = GRIDS[transform](stn_tf.identity(transform), size, align_corners=align_corners)
    expected = reference.base_grid(size, align_corners).astype(np.float32)
    np.testing.assert_array_equal(grid, expected)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_grid_leading_dimensions(transform: str, rng: np.random.Generator) -> None:
    family = get_transform(transform)
    size = SIZES[family.dimensions]
    theta = near_identity(transform, rng, 6)
    flat = GRIDS[transform](theta, size)
    nested = GRIDS[transform](theta.reshape(2, 3, *family.theta_shape), size)
    assert nested.shape == (2, 3, *size, family.dimensions)
    np.testing.assert_array_equal(tf.reshape(nested, flat.shape), flat)
    assert GRIDS[transform](theta[:0], size).shape == (0, *size, family.dimensions)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_grid_unknown_batch(transform: str, rng: np.random.Generator) -> None:
    family = get_transform(transform)
    size = SIZES[family.dimensions]
    spec = tf.TensorSpec([None, *family.theta_shape])
    traced = tf.function(lambda theta: GRIDS[transform](theta, size), input_signature=[spec])
    theta = near_identity(transform, rng, 2)
    np.testing.assert_allclose(traced(theta), GRIDS[transform](theta, size), atol=1e-6)
    assert traced.get_concrete_function().output_shapes == [None, *size, family.dimensions]


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_grid_jacobian_random(transform: str, rng: np.random.Generator) -> None:
    family = get_transform(transform)
    size = tuple(2 for _ in range(family.dimensions))
    theta = near_identity(transform, rng, 1).astype(np.float64)
    computed, numeric = tf.test.compute_gradient(lambda t: GRIDS[transform](t, size), [theta])
    np.testing.assert_allclose(computed[0], numeric[0], atol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_grid_of_half_theta_is_float32(transform: str, dtype: tf.DType) -> None:
    size = SIZES[get_transform(transform).dimensions]
    grid = GRIDS[transform](tf.cast(stn_tf.identity(transform), dtype), size)
    assert grid.dtype == tf.float32


@pytest.mark.parametrize("transform", [name for name in TRANSFORMS if name != "tps"])
def test_grid_exception_raised(transform: str) -> None:
    family = get_transform(transform)
    trailing = ", ".join(str(length) for length in family.theta_shape)
    wrong = np.zeros((5, *(length + 1 for length in family.theta_shape)), np.float32)
    with pytest.raises(ValueError, match=r"^`theta` must have shape") as raised:
        GRIDS[transform](wrong, SIZES[family.dimensions])
    assert str(raised.value) == (
        f"`theta` must have shape [..., {trailing}], but it has shape {list(wrong.shape)}."
    )
    with pytest.raises(TypeError, match="`theta` must hold floating-point numbers"):
        GRIDS[transform](np.zeros(family.theta_shape, np.int32), SIZES[family.dimensions])
    for size in [(0,) * family.dimensions, (3,) * (family.dimensions + 1), 4, (2.5, 2.5, 2.5)]:
        with pytest.raises(ValueError, match=r"^`size` must be"):
            GRIDS[transform](family.identity(), size)


def test_thin_plate_spline_exception_raised() -> None:
    with pytest.raises(ValueError, match=r"must have shape \[..., k \* k, 2\]"):
        stn_tf.thin_plate_spline_grid(np.zeros((15, 2), np.float32), (4, 4))
    with pytest.raises(ValueError, match="`control_points` must be at least 2"):
        stn_tf.thin_plate_spline_grid(np.zeros((1, 2), np.float32), (4, 4))
    with pytest.raises(ValueError, match="`regularisation` must be at least 0"):
        stn_tf.thin_plate_spline_grid(np.zeros((16, 2), np.float32), (4, 4), regularisation=-1.0)


@pytest.mark.parametrize("k", [2, 3, 4, 7])
def test_thin_plate_spline_moves_its_control_points(k: int, rng: np.random.Generator) -> None:
    offsets = rng.normal(size=(k * k, 2)).astype(np.float32)
    grid = stn_tf.thin_plate_spline_grid(offsets, (k, k), align_corners=True)
    expected = reference.base_grid((k, k), True) + offsets.reshape(k, k, 2)
    np.testing.assert_allclose(grid, expected, atol=1e-5)


def test_thin_plate_spline_regularisation_stiffens(rng: np.random.Generator) -> None:
    offsets = rng.normal(size=(16, 2)).astype(np.float32)
    base = reference.base_grid((4, 4), True)
    line = np.concatenate([np.ones((16, 1)), base.reshape(16, 2)], axis=1)
    flattest = line @ np.linalg.lstsq(line, offsets, rcond=None)[0]  # The best affine map.
    soft = stn_tf.thin_plate_spline_grid(offsets, (4, 4), regularisation=1e6, align_corners=True)
    np.testing.assert_allclose(np.reshape(soft - base, (16, 2)), flattest, atol=1e-4)


def test_projective_horizon_is_finite() -> None:
    # The horizon x = -1 / 2 runs through a column of points.
    theta = tf.Variable([1, 0, 0, 0, 1, 0, 2, 0], dtype=tf.float32)
    with tf.GradientTape() as tape:
        grid = stn_tf.projective_grid(theta, (5, 5), align_corners=True)
        seen = stn_tf.grid_sample(tf.ones([1, 5, 5, 1]), grid[tf.newaxis], align_corners=True)
        total = tf.reduce_sum(seen)
    assert np.all(np.isfinite(grid))
    np.testing.assert_array_equal(seen[0, :, 1, 0], np.zeros(5))
    assert np.all(np.isfinite(tape.gradient(total, theta)))


@settings(max_examples=50)
@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    align_corners=st.booleans(),
)
def test_base_grid_of_any_size(height: int, width: int, align_corners: bool) -> None:
    theta = np.array([1.0, 0.0, 0.0], np.float32)
    grid = stn_tf.attention_grid(theta, (height, width), align_corners=align_corners).numpy()
    edge = 1.0 if align_corners else 1.0 - 1.0 / np.array([width, height])
    if height > 1 and width > 1:
        np.testing.assert_allclose(grid[0, 0], -edge * np.ones(2), atol=1e-7)
        np.testing.assert_allclose(grid[-1, -1], edge * np.ones(2), atol=1e-7)
    np.testing.assert_allclose(grid, -grid[::-1, ::-1], atol=1e-7)
