"""Updates against the same in NumPy and float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.training import FitConfig, fit
from stn_tf.training.optimizers import LearningRate, Updater

ONE = tf.distribute.get_strategy()


def _rates(steps, **settings):
    config = FitConfig(steps=100, learning_rate=0.5, **settings)
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


class Reference:
    """One weight, updated in float64."""

    def __init__(self, value, config, factor, decays):
        self.value, self.config = value.astype(np.float64), config
        self.factor, self.decays = factor, decays
        self.first, self.second, self.steps = 0.0, 0.0, 0
        self.average = self.value

    def update(self, gradient, rate):
        config, rate = self.config, rate * self.factor
        if self.decays:
            self.value = self.value * (1 - rate * config.weight_decay)
        self.steps += 1
        if config.optimizer.startswith("adam"):
            self.first = 0.9 * self.first + 0.1 * gradient
            self.second = 0.999 * self.second + 0.001 * gradient**2
            first = self.first / (1 - 0.9**self.steps)
            # Keras adds epsilon before it corrects the bias.
            correction = np.sqrt(1 - 0.999**self.steps)
            self.value = self.value - rate * first * correction / (np.sqrt(self.second) + 1e-7)
        elif config.optimizer == "momentum":
            self.first = 0.9 * self.first - rate * gradient
            self.value = self.value + self.first
        else:
            self.value = self.value - rate * gradient
        momentum = min(config.ema, self.steps / (9 + self.steps))
        self.average = momentum * self.average + (1 - momentum) * self.value


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw"])
@pytest.mark.parametrize("clip_norm", [0.0, 0.3])
def test_updates_random(rng, name, clip_norm):
    config = FitConfig(
        optimizer=name,
        learning_rate=0.1,
        learning_rate_schedule="cosine",
        steps=4,
        weight_decay=0.5,
        clip_norm=clip_norm,
        ema=0.15,
    )
    values = [rng.normal(size=(3, 2)), rng.normal(size=2), rng.normal(size=(2, 2))]
    names, factors = ("kernel", "bias", "slow"), (1.0, 1.0, 0.01)
    weights = [keras.Variable(value, name=own) for value, own in zip(values, names, strict=True)]
    reference = [
        Reference(np.float32(value), config, factor, own != "bias")
        for value, factor, own in zip(values, factors, names, strict=True)
    ]
    updater = Updater(config, weights, factors)

    @tf.function
    def apply(gradients, norm):
        updater.apply(list(zip(gradients, weights, strict=True)), norm, ONE)

    for step in range(3):
        gradients = [rng.normal(size=value.shape).astype(np.float32) for value in values]
        norm = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gradients))
        apply([tf.constant(g) for g in gradients], tf.constant(norm, tf.float32))
        shrink = min(1.0, clip_norm / norm) if clip_norm else 1.0
        for one, gradient in zip(reference, gradients, strict=True):
            one.update(gradient.astype(np.float64) * shrink, updater.learning_rate(step))
    for weight, one, average in zip(weights, reference, updater.averages, strict=True):
        np.testing.assert_allclose(weight.numpy(), one.value, rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(average.numpy(), one.average, rtol=2e-5, atol=1e-6)


def test_a_rate_of_nothing_keeps_weights():
    config = FitConfig(optimizer="adam", weight_decay=0.5)
    weight = keras.Variable([[1.0, 2.0]], name="kernel")
    updater = Updater(config, [weight], [0.0])
    updater.apply([(tf.ones((1, 2)), weight)], tf.constant(1.4), ONE)
    assert weight.numpy().tolist() == [[1.0, 2.0]]


def test_constraints_hold():
    weight = keras.Variable([[3.0, -2.0]], name="kernel")
    weight.constraint = keras.constraints.NonNeg()
    updater = Updater(FitConfig(optimizer="sgd"), [weight], [1.0])
    updater.apply([(tf.ones((1, 2)), weight)], tf.constant(1.4), ONE)
    assert weight.numpy().min() == 0.0


def test_averages_are_used_for_a_while():
    weight = keras.Variable([[1.0]], name="kernel")
    updater = Updater(FitConfig(ema=0.5, optimizer="sgd", learning_rate=1.0), [weight], [1.0])
    updater.apply([(tf.ones((1, 1)), weight)], tf.constant(1.0), ONE)
    # The first update counts nine tenths.
    with updater.averaged():
        assert float(weight.numpy()[0, 0]) == pytest.approx(0.1)
    assert float(weight.numpy()[0, 0]) == 0.0


@pytest.mark.parametrize("scale_is_too_high", [True, False])
def test_loss_scale(scale_is_too_high):
    weight = keras.Variable([[1.0]], name="kernel")
    updater = Updater(FitConfig(optimizer="sgd"), [weight], [1.0], scales_loss=True)
    assert float(updater.scale_loss(tf.constant(2.0))) == 2.0**16
    assert [float(g) for g in updater.unscale([tf.constant(2.0**16)])] == [2.0]
    if scale_is_too_high:
        assert bool(updater.lower_scale())
        assert float(updater.scale_loss(tf.constant(2.0))) == 2.0**15
        for _ in range(15):
            curable = bool(updater.lower_scale())
        # It never gets below 1, where gradients that are no numbers have another cause.
        assert not curable
        assert float(updater.scale_loss(tf.constant(2.0))) == 2.0
    else:
        updater._raise_scale()
        updater._scale.step_counter.assign_add(1998)
        assert float(updater.scale_loss(tf.constant(2.0))) == 2.0**16
        updater._raise_scale()
        assert float(updater.scale_loss(tf.constant(2.0))) == 2.0**17


def test_accumulated_batches_are_one_large_batch(tmp_path, digits, linear, config, loss):
    """Three batches of eight digits a step, against one of 24; schedules count steps."""
    results = {}
    for name, batch, count in (("many", 8, 3), ("one", 24, 1)):
        settings = config(
            steps=5,
            accumulate_steps=count,
            optimizer="momentum",
            clip_norm=0.5,
            ema=0.5,
            weight_decay=0.1,
            evaluate_every=5,
        )
        results[name] = fit(
            linear,
            digits.by_step(batch),
            digits.validation,
            settings,
            loss=loss,
            metrics=["accuracy"],
            out=tmp_path / name,
            progress=False,
        )
    for a, b in zip(*(r.model.get_weights() for r in results.values()), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    lines = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in results]
    for a, b in zip(*lines, strict=True):
        one, other = (eval(line) for line in (a, b))
        assert set(one) == set(other)
        for key in set(one) - {"images_per_second", "input_wait"}:
            assert one[key] == pytest.approx(other[key], rel=1e-5), key
