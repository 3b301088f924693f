import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.training.config import ExperimentConfig
from stn_tf.training.optimizers import LearningRate, build_optimizer


def _rates(steps, **settings):
    config = ExperimentConfig(steps=100, learning_rate=0.5, **settings)
    return [float(LearningRate(config)(step)) for step in steps]


def test_learning_rate_preset():
    assert _rates([0, 99], learning_rate_schedule="constant") == [0.5, 0.5]
    cosine = _rates([0, 50, 100], learning_rate_schedule="cosine")
    np.testing.assert_allclose(cosine, [0.5, 0.25, 0.0], atol=1e-7)
    drops = _rates([0, 9, 10, 20], learning_rate_schedule="step", learning_rate_every=10)
    np.testing.assert_allclose(drops, [0.5, 0.5, 0.05, 0.005], rtol=1e-5)


def test_learning_rate_warm_up_preset():
    constant = _rates([0, 1, 3, 4], learning_rate_schedule="constant", warmup_steps=4)
    np.testing.assert_allclose(constant, [0.125, 0.25, 0.5, 0.5])
    cosine = _rates([20, 60], learning_rate_schedule="cosine", warmup_steps=20)
    np.testing.assert_allclose(cosine, [0.5, 0.25], rtol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_localisation_rate_equals_two_optimizers(name, weight_decay):
    """Plain Keras optimizers, one for each group of variables, are the oracle."""
    plain = {
        "sgd": keras.optimizers.SGD,
        "momentum": lambda **o: keras.optimizers.SGD(momentum=0.9, **o),
        "adam": keras.optimizers.Adam,
    }[name]
    values = [np.array([1.0, -2.0], np.float32), np.array([3.0], np.float32)]
    ours, theirs = ([keras.Variable(v) for v in values] for _ in range(2))
    config = ExperimentConfig(
        optimizer=name,
        learning_rate=0.1,
        learning_rate_schedule="constant",
        localisation_rate=0.01,
        weight_decay=weight_decay,
    )
    optimizer = build_optimizer(config, ours, [ours[1]])
    pair = [plain(learning_rate=rate) for rate in (0.1, 0.001)]
    for step in range(3):
        gradients = [tf.constant(v) * (step + 1.0) for v in values]
        optimizer.apply(gradients, ours)
        for single, gradient, variable in zip(pair, gradients, theirs, strict=True):
            # Decoupled weight decay goes with the rate of the optimizer, not of the group.
            variable.assign(variable * (1 - 0.1 * weight_decay))
            single.apply([gradient], [variable])
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our.numpy(), their.numpy(), rtol=1e-6)


def test_biases_do_not_decay():
    variables = [keras.Variable([1.0], name="kernel"), keras.Variable([1.0], name="bias")]
    config = ExperimentConfig(optimizer="sgd", learning_rate=0.5, weight_decay=0.5)
    optimizer = build_optimizer(config, variables, [])
    optimizer.apply([tf.zeros(1), tf.zeros(1)], variables)
    assert [float(v.numpy()[0]) for v in variables] == [0.75, 1.0]
