"""The regression's start, constraints and errors."""

import keras
import numpy as np
import pytest

from stn_tf.geometry import TRANSFORMS, get_transform
from stn_tf.layers import ThetaRegression

FEATURES = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)


def perturbed(layer: ThetaRegression) -> np.ndarray:
    """Theta after the weights have moved far from their start."""
    layer(FEATURES)
    kernel = layer.dense.weights[0]
    kernel.assign(np.random.default_rng(1).normal(size=kernel.shape) * 3)
    return np.asarray(layer(FEATURES))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_starts_at_the_identity(transform: str) -> None:
    layer = ThetaRegression(transform)
    expected = np.stack([get_transform(transform).identity()] * 3)
    np.testing.assert_array_equal(layer(FEATURES), expected)
    assert np.abs(perturbed(layer) - expected).max() > 0.1


def test_fixed_and_bounded_parameters() -> None:
    layer = ThetaRegression("similarity", constraints={"scale": 0.5, "angle": (-0.8, 0.4)})
    start = np.asarray(layer(FEATURES))
    np.testing.assert_allclose(start, [[0.5, 0.0, 0.0, 0.0]] * 3, atol=1e-6)
    assert layer.dense.units == 3
    theta = perturbed(layer)
    np.testing.assert_array_equal(theta[:, 0], [0.5] * 3)
    assert np.all((theta[:, 1] >= -0.8) & (theta[:, 1] <= 0.4))
    assert np.ptp(theta[:, 1]) > 0.1
    assert np.abs(theta[:, 2:]).max() > 0.5


def test_identity_outside_a_range_starts_inside_it() -> None:
    layer = ThetaRegression("attention", constraints={"scale": (0.2, 0.6)})
    scale = np.asarray(layer(FEATURES))[:, 0]
    assert np.all((scale > 0.5) & (scale < 0.6))


def test_initial_theta() -> None:
    start = [[0.5, 0.0, -0.5], [0.0, 0.5, 0.25]]
    layer = ThetaRegression("affine", initial_theta=start)
    np.testing.assert_array_equal(layer(FEATURES)[0], np.asarray(start, np.float32))


def test_mixed_precision_keeps_theta_float32() -> None:
    layer = ThetaRegression("affine", dtype="mixed_float16")
    assert layer(FEATURES.astype(np.float16)).dtype == "float32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"constraints": {"zoom": 1.0}}, r"must name parameters of 'attention' \(scale, tx, ty\), "
         "but it names 'zoom'"),
        ({"constraints": {"scale": (2.0, 1.0)}}, r"`constraints\['scale'\]` must be a number or "
         r"\(low, high\) with low < high, but it is \(2.0, 1.0\)"),
        ({"constraints": {"scale": 1.0, "tx": 0.0, "ty": 0.0}}, "must leave a parameter free"),
        ({"initial_theta": [1.0]}, r"`initial_theta` must have shape \[3\]"),
    ],
)  # fmt: skip
def test_exception_raised(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ThetaRegression("attention", **options)


def test_features_of_unknown_size_exception_raised() -> None:
    with pytest.raises(ValueError, match="must give features of a known size"):
        ThetaRegression()(keras.Input((None, 8)))
