"""From gradients to new weights: schedules, rates by part, decay, clipping, averages, loss scale.

Keras's optimizers compute the update of one weight; what stands around it is here, because Keras
3.15 clips each replica's gradients rather than their sum, accumulates inside a condition that
MirroredStrategy cannot run, counts every accumulated batch in its averages, and has one rate.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from stn_tf.training.config import FitConfig
from stn_tf.training.parts import decays


class LearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, then a cosine to zero, drops at regular steps, or a constant."""

    def __init__(self, config: FitConfig):
        self._config = config

    def __call__(self, step: Any) -> tf.Tensor:
        """Returns the rate at a step, an update, counted from 0."""
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


class Updater:
    """Changes weights by gradients. Make it in the strategy's scope.

    Args:
        config: The settings.
        variables: All weights that may ever learn.
        factors: Of each, the factor of its rate; weight decay goes with it.
        scales_loss: Whether the loss is scaled, for layers that compute in float16.

    Attributes:
        variables: The state, but for the averages: what a checkpoint must hold.
        averages: Of each weight its moving average; empty without `ema`.
    """

    def __init__(
        self,
        config: FitConfig,
        variables: Sequence[Any],
        factors: Sequence[float],
        *,
        scales_loss: bool = False,
    ):
        self._config = config
        self._weights = list(variables)
        self._factors = dict(zip(map(id, variables), factors, strict=True))
        self._rate = LearningRate(config)
        self._optimizer = _keras_optimizer(config, self._rate)
        # It holds the scale, as it did in checkpoints of 0.1.0; what it does is done below.
        self._scale = keras.optimizers.LossScaleOptimizer(self._optimizer) if scales_loss else None
        built = self._scale or self._optimizer
        built.build(self._weights)
        self.variables = list(built.variables)
        self.averages = (
            [keras.Variable(v, name="average", trainable=False) for v in self._weights]
            if config.ema
            else []
        )

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Returns what is to be differentiated."""
        return loss if self._scale is None else loss * self._scale.dynamic_scale.value

    def unscale(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the gradients of the loss itself."""
        if self._scale is None:
            return list(gradients)
        scale = self._scale.dynamic_scale.value
        return [gradient / tf.cast(scale, gradient.dtype) for gradient in gradients]

    def apply(
        self, pairs: Sequence[tuple[Any, Any]], norm: tf.Tensor, strategy: tf.distribute.Strategy
    ) -> None:
        """Updates weights, outside of replicas.

        Args:
            pairs: Gradients, the sum over all replicas on each of them, and their weights.
            norm: The norm of all gradients together.
            strategy: Where the weights are.
        """
        update = strategy.extended.update
        iterations = self._optimizer.iterations
        rate = self._rate(iterations.value)
        shrink = tf.constant(1.0)
        if self._config.clip_norm:
            shrink = self._config.clip_norm / tf.maximum(norm, self._config.clip_norm)

        for gradient, variable in pairs:

            def step(
                weight: Any,
                gradient: tf.Tensor,
                rate: tf.Tensor,
                shrink: tf.Tensor,
                factor: float = self._factors[id(variable)],
                decay: bool = bool(self._config.weight_decay) and decays(variable),
            ) -> None:
                own_rate = rate * factor
                if decay:
                    shrunk = tf.cast(own_rate * self._config.weight_decay, weight.dtype)
                    weight.assign_sub(weight * shrunk)
                if self._config.clip_norm:
                    gradient = gradient * tf.cast(shrink, gradient.dtype)
                self._optimizer.update_step(gradient, weight, own_rate)

            update(variable.value, step, args=(gradient, rate, shrink), group=False)
            if variable.constraint is not None:
                variable.assign(variable.constraint(variable))
        if self.averages:
            self._average(tf.cast(iterations.value, tf.float32), strategy)
        iterations.assign_add(1)
        self._raise_scale()

    def lower_scale(self) -> tf.Tensor:
        """Notes that gradients were no numbers; returns whether a lower scale may cure that."""
        if self._scale is None:
            return tf.constant(False)
        scale = self._scale.dynamic_scale
        curable = scale.value > 1.0
        scale.assign(tf.maximum(scale.value * 0.5, 1.0))
        self._scale.step_counter.assign(0)
        return curable

    def _raise_scale(self) -> None:
        if self._scale is None:
            return
        scale, counter = self._scale.dynamic_scale, self._scale.step_counter
        due = counter.value + 1 >= self._scale.dynamic_growth_steps
        scale.assign(tf.where(due, scale.value * 2.0, scale.value))
        counter.assign(tf.where(due, tf.zeros_like(counter.value), counter.value + 1))

    def _average(self, updates: tf.Tensor, strategy: tf.distribute.Strategy) -> None:
        # The first updates count more, or short runs would end near their initial weights: the
        # rule of tf.train.ExponentialMovingAverage with `num_updates`.
        momentum = tf.minimum(self._config.ema, (1.0 + updates) / (10.0 + updates))

        def step(average: Any, weight: Any, momentum: tf.Tensor) -> None:
            share = tf.cast(1.0 - momentum, average.dtype)
            average.assign_add((weight - average) * share)

        for average, variable in zip(self.averages, self._weights, strict=True):
            strategy.extended.update(
                average.value, step, args=(variable.value, momentum), group=False
            )

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """A context in which the weights are their averages, where there are some."""
        if not self.averages:
            yield
            return
        before = [tf.identity(variable.value) for variable in self._weights]
        self.use_averages()
        try:
            yield
        finally:
            for variable, value in zip(self._weights, before, strict=True):
                variable.assign(value)

    def use_averages(self) -> None:
        """Gives the weights their averages, where there are some."""
        for variable, average in zip(self._weights, self.averages, strict=bool(self.averages)):
            variable.assign(average.value)

    def learning_rate(self, step: int) -> float:
        """Returns the rate of a step, counted from 0."""
        return float(self._rate(step))


def _keras_optimizer(config: FitConfig, rate: LearningRate) -> Any:
    if config.optimizer in ("adam", "adamw"):
        return keras.optimizers.Adam(rate)
    return keras.optimizers.SGD(rate, momentum=0.9 if config.optimizer == "momentum" else 0.0)
