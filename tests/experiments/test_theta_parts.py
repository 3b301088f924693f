"""The parts of theta make theta again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stn_tf.experiments.theta_parts import hardly_varies, theta_parts
from stn_tf.geometry import get_transform

_NUMBERS = st.floats(-2, 2, width=32)


@given(st.lists(_NUMBERS, min_size=6, max_size=6))
@settings(max_examples=60)
def test_affine_parts_make_the_matrix(numbers):
    theta = np.array(numbers, np.float32)
    parts = {part.name: part.values[0, 0] for part in _parts("affine", theta)}
    rotation, skew = np.deg2rad(parts["rotation, °"]), np.deg2rad(parts["skew, °"])
    turn = np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]])
    matrix = theta.reshape(2, 3).astype(np.float64)
    wide, high = parts["scale x"], parts["scale y"]
    if wide < 1e-3 or abs(skew) > 1.5:
        return  # A crop without width, or one that is a line.
    again = turn @ np.array([[wide, np.tan(skew) * abs(high)], [0.0, high]])
    np.testing.assert_allclose(again, matrix[:, :2], atol=1e-4)
    np.testing.assert_allclose([parts["shift x"], parts["shift y"]], matrix[:, 2])


@pytest.mark.parametrize(
    ("transform", "names"),
    [
        ("attention", ["scale", "shift x", "shift y"]),
        ("similarity", ["scale", "rotation, °", "shift x", "shift y"]),
        ("projective", ["xx", "xy", "shift x", "yx", "yy", "shift y", "px", "py"]),
    ],
)
def test_parts_of_other_families_preset(transform, names):
    identity = get_transform(transform).identity()
    parts = _parts(transform, identity)
    assert [part.name for part in parts] == names
    for part in parts:
        assert part.values.shape == (1, 1)
        assert part.values[0, 0] == part.identity


def test_rotations_are_degrees_of_one_turn():
    angles = {part.name: part for part in _parts("similarity", [1.0, 3 * np.pi + 0.5, 0, 0])}
    expected = np.rad2deg(0.5) - 180
    assert angles["rotation, °"].values[0, 0] == pytest.approx(expected, abs=1e-4)


def test_control_points_are_numbers_of_their_own():
    parts = theta_parts(get_transform("tps"), np.zeros((3, 2, 32)))
    assert [part.name for part in parts[:3]] == ["x0", "y0", "x1"]
    assert parts[0].values.shape == (3, 2)


def test_hardly_varies_preset(rng):
    attention = get_transform("attention")
    thetas = np.array([0.5, 0.1, 0.0]) + rng.normal(0, 0.001, (50, 2, 3))
    assert hardly_varies(theta_parts(attention, thetas))
    # Different crops that each stay where they are.
    assert hardly_varies(
        theta_parts(attention, thetas + np.array([[[0.5]], [[0.0]]]).swapaxes(0, 1))
    )
    thetas[:, 1, 2] += rng.normal(0, 0.1, 50)
    assert not hardly_varies(theta_parts(attention, thetas))


def _parts(transform, theta):
    return theta_parts(get_transform(transform), np.ravel(theta)[None, None])
