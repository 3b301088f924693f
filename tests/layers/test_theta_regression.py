"""The regression's start, constraints and errors."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

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


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("limit", "start", "low", "high"),
    [
        ((0.1, INF), 1.0, 0.1, INF),
        ((0.1, None), 1e-3 + 0.1, 0.1, INF),
        ((-INF, 1.5), 1.0, -INF, 1.5),
        ([None, 200.0], -5.0, -INF, 200.0),
        ((0.0, INF), 1e4, 0.0, INF),
        ((-INF, INF), 0.7, -INF, INF),
        ((None, None), 0.7, -INF, INF),
    ],
)
def test_one_sided_constraints(limit: tuple, start: float, low: float, high: float) -> None:
    layer = ThetaRegression(
        "attention", constraints={"scale": limit, "ty": (-1, 1)}, initial_theta=[start, 0.2, 0.3]
    )
    np.testing.assert_allclose(layer(FEATURES), [[start, 0.2, 0.3]] * 3, rtol=1e-6)
    raw = np.linspace(-40, 40, 81)
    layer.dense.kernel.assign(np.eye(8, 3))
    offset = layer.dense.bias.numpy()[0]
    features = np.zeros((81, 8), np.float32)
    features[:, 0] = raw - offset
    features = tf.constant(features)
    with tf.GradientTape() as tape:
        tape.watch(features)
        scale = layer(features)[:, 0]
    slope = tape.gradient(scale, features)[:, 0]
    softplus, sigmoid = np.logaddexp(0, raw), 1 / (1 + np.exp(-raw))
    if low > -INF:
        expected, slopes = low + softplus, sigmoid
    elif high < INF:
        expected, slopes = high - softplus, -sigmoid
    else:
        expected, slopes = raw, np.ones_like(raw)
    np.testing.assert_allclose(scale, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(slope, slopes, rtol=1e-2, atol=1e-6)
    assert np.all((scale >= np.float32(low)) & (scale <= np.float32(high)))


@pytest.mark.parametrize("start", [0.0, -3.0])
def test_identity_beyond_the_only_end_starts_inside(start: float) -> None:
    for limit, sign in (((0.0, INF), 1), ((-INF, 0.0), -1)):
        layer = ThetaRegression(
            "attention", constraints={"tx": limit}, initial_theta=[1.0, sign * start, 0.0]
        )
        tx = np.asarray(layer(FEATURES))[:, 1]
        np.testing.assert_allclose(tx, [sign * 0.02] * 3, rtol=1e-5)


def test_infinite_ends_are_saved_as_json() -> None:
    constraints = {"scale": (0.1, INF), "tx": (-INF, INF), "ty": (-1.0, 1.0)}
    layer = ThetaRegression("attention", constraints=constraints)
    config = json.loads(json.dumps(layer.get_config(), allow_nan=False))
    again = ThetaRegression.from_config(config)
    assert again.constraints == layer.constraints == constraints
    np.testing.assert_array_equal(again(FEATURES), layer(FEATURES))


def test_several_crops_have_thetas_of_their_own() -> None:
    starts = [[1.0, 0.0, 0.0], [0.5, 0.5, -0.5]]
    layer = ThetaRegression(
        "attention", constraints={"scale": (0.2, 2.0), "ty": 0.1}, initial_theta=starts, crops=2
    )
    expected = np.array(starts)
    expected[:, 2] = 0.1
    np.testing.assert_allclose(layer(FEATURES), [expected] * 3, atol=1e-6)
    theta = perturbed(layer)
    assert theta.shape == (3, 2, 3)
    assert np.all((theta[..., 0] >= 0.2) & (theta[..., 0] <= 2.0))
    assert np.ptp(theta[..., 0], axis=1).min() > 1e-3
    again = ThetaRegression.from_config(layer.get_config())
    again(FEATURES)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(FEATURES), theta)


@pytest.mark.parametrize("features", [8, 4000])
@pytest.mark.parametrize("constraints", [None, {"scale": (0.1, None)}])
def test_theta_is_no_matrix_product(constraints: dict | None, features: int) -> None:
    """A graphics card computes those with 10 bits; and what they give is the sum all the same."""
    layer = ThetaRegression("similarity", constraints=constraints, crops=2)
    inputs = np.random.default_rng(3).normal(size=(3, features))
    layer(inputs)
    kernel = np.random.default_rng(4).normal(size=(features, 8)) / features
    layer.dense.kernel.assign(kernel)

    @tf.function
    def step(inputs: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            raw = layer.dense(inputs)
            total = tf.reduce_sum(layer(inputs) ** 2)
        return [raw, *tape.gradient(total, layer.trainable_variables)]

    inputs = tf.constant(inputs, tf.float32)
    graph = step.get_concrete_function(inputs).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert not {kind for kind in kinds if "MatMul" in kind or "Einsum" in kind}
    expected = inputs.numpy().astype(np.float64) @ kernel + layer.dense.bias.numpy()
    np.testing.assert_allclose(step(inputs)[0], expected, atol=1e-6)


def test_weights_keep_the_names_that_saved_models_have() -> None:
    layer = ThetaRegression("affine", name="regression")
    layer(FEATURES)
    assert [weight.path for weight in layer.weights] == [
        "regression/theta/kernel",
        "regression/theta/bias",
    ]
    assert isinstance(layer.dense, keras.layers.Dense)


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
        ({"constraints": {"tx": (NAN, 1.0)}}, r"`constraints\['tx'\]` must be .* low < high"),
        ({"constraints": {"tx": (None, NAN)}}, r"`constraints\['tx'\]` must be .* low < high"),
        ({"constraints": {"tx": (INF, INF)}}, "low < high"),
        ({"constraints": {"tx": NAN}}, r"`constraints\['tx'\]` must be a finite number"),
        ({"constraints": {"tx": INF}}, r"finite number .* Give \(low, high\) to bound it"),
        ({"constraints": {"tx": (0.0, 1.0, 2.0)}}, "low < high, but it is"),
        ({"initial_theta": [1.0]}, r"`initial_theta` must have shape \[3\]"),
    ],
)  # fmt: skip
def test_exception_raised(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ThetaRegression("attention", **options)


def test_features_of_unknown_size_exception_raised() -> None:
    with pytest.raises(ValueError, match="must give features of a known size"):
        ThetaRegression()(keras.Input((None, 8)))
