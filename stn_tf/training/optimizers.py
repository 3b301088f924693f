"""Optimizers with a rate of their own for localisation, and schedules of the rate."""

import math
from typing import Any

import keras
import tensorflow as tf

from stn_tf.training.config import ExperimentConfig


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then a cosine to zero, drops at regular steps, or a constant."""

    def __init__(self, config: ExperimentConfig):
        self._config = config

    def __call__(self, step: Any) -> tf.Tensor:
        """Returns the rate at a step, counted from 0."""
        config = self._config
        step = tf.cast(step, tf.float32)
        rate = tf.constant(config.learning_rate, tf.float32)
        if config.learning_rate_schedule == "cosine":
            rest = max(config.steps - config.warmup_steps, 1)
            done = tf.clip_by_value((step - config.warmup_steps) / rest, 0.0, 1.0)
            rate *= 0.5 * (1.0 + tf.cos(math.pi * done))
        elif config.learning_rate_schedule == "step":
            rate *= tf.pow(config.learning_rate_drop, step // config.learning_rate_every)
        if config.warmup_steps:
            rate *= tf.minimum((step + 1.0) / config.warmup_steps, 1.0)
        return rate

    def get_config(self) -> dict[str, Any]:
        return {"config": self._config.model_dump()}


def build_optimizer(
    config: ExperimentConfig, variables: list[Any], localisation: list[Any]
) -> keras.optimizers.Optimizer:
    """Returns the optimizer of the settings, built for the variables.

    One optimizer multiplies the rate of some variables, rather than two optimizers, so that the
    dynamic loss scale of float16 has one state and skips the step of all variables together.

    Args:
        config: The settings.
        variables: All trainable variables of the network.
        localisation: Those whose rate is multiplied by `localisation_rate`.
    """
    bases: dict[str, tuple[type, dict[str, Any]]] = {
        "sgd": (keras.optimizers.SGD, {}),
        "momentum": (keras.optimizers.SGD, {"momentum": 0.9}),
        "adam": (keras.optimizers.Adam, {}),
    }
    base, options = bases[config.optimizer]
    if config.weight_decay:
        options["weight_decay"] = config.weight_decay
    optimizer = _with_multiplier(base)(learning_rate=LearningRate(config), **options)
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    slow = {id(variable) for variable in localisation}
    optimizer.multiplier = config.localisation_rate
    optimizer.multiplied = tuple(i for i, v in enumerate(variables) if id(v) in slow)
    if config.mixed_precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


def _with_multiplier(base: Any) -> Any:
    class WithMultiplier(base):
        multiplier = 1.0
        multiplied: tuple[int, ...] = ()

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            if self._get_variable_index(variable) in self.multiplied:
                learning_rate = learning_rate * self.multiplier
            super().update_step(gradient, variable, learning_rate)

    return WithMultiplier
