"""One training step on every replica."""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.errors import ConfigError
from stn_tf.layers import spatial_transformers
from stn_tf.paper import NETWORKS, build_network
from stn_tf.sampling.choice import preferred_sampler
from stn_tf.training.config import ExperimentConfig
from stn_tf.training.optimizers import build_optimizer

_POLICIES = {"none": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}


class Trainer:
    """A network, its optimizer, and the step that changes both.

    Attributes:
        model: The network.
        optimizer: Built for it.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        strategy: tf.distribute.Strategy,
        input_shape: tuple[int, ...],
        classes: int,
    ):
        self._strategy = strategy
        self._replicas = strategy.num_replicas_in_sync
        self._batch_size = config.batch_size
        with strategy.scope(), dtype_policy(_POLICIES[config.mixed_precision]):
            self.model = build_model(config, input_shape, classes)
            variables = self.model.trainable_variables
            localisation = [
                variable
                for transformer in spatial_transformers(self.model)
                for variable in transformer.localisation_variables
            ]
            self.optimizer = build_optimizer(config, variables, localisation)
        # XLA compiles what a replica computes by itself; what replicas exchange stays outside.
        self._gradients = tf.function(self._loss_gradients, jit_compile=config.xla or None)
        self._step = tf.function(self._distributed_step)

    def step(self, images: Any, labels: Any, stop: bool = False) -> tf.Tensor:
        """Takes a step.

        Args:
            images: A replica's images, or one value per replica.
            labels: Their labels.
            stop: Whether this worker wishes to stop.

        Returns:
            Float32 sums over the global batch: its mean loss, how many images were classified
            wrongly, and how many replicas wish to stop.
        """
        return self._step(images, labels, tf.constant(float(stop)))

    def _distributed_step(self, images: Any, labels: Any, stop: tf.Tensor) -> tf.Tensor:
        sums = self._strategy.run(self._replica_step, args=(images, labels, stop))
        # They are equal on every replica.
        return self._strategy.experimental_local_results(sums)[0]

    def _replica_step(self, images: tf.Tensor, labels: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
        loss, wrong, gradients = self._gradients(images, labels)
        context = tf.distribute.get_replica_context()
        sums = tf.stack([loss, wrong, stop])
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer) and self._replicas > 1:
            # Keras looks at each replica's own gradients to decide whether to skip the step (seen
            # in Keras 3.15, whose comment expects reduced ones), so the replicas must agree first.
            finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
            sums = tf.concat([sums, [0.0 if finite else 1.0]], axis=0)
            sums = context.all_reduce(tf.distribute.ReduceOp.SUM, sums)
            gradients = [tf.where(sums[3] > 0.0, np.inf, gradient) for gradient in gradients]
        elif self._replicas > 1:
            sums = context.all_reduce(tf.distribute.ReduceOp.SUM, sums)
        # Keras adds the gradients of all replicas up; each is of a share of the global mean.
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return sums[:3]

    def _loss_gradients(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        variables = [v.value for v in self.model.trainable_variables]
        # Here, because a strategy may trace each replica in a thread of its own.
        with preferred_sampler(), tf.GradientTape() as tape:
            logits = tf.cast(self.model(images, training=True), tf.float32)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_sum(losses) / self._batch_size
            total = loss
            if self.model.losses:
                total += tf.add_n(self.model.losses) / self._replicas
            scaled = self.optimizer.scale_loss(total)
        gradients = tape.gradient(scaled, variables)
        predicted = tf.argmax(logits, axis=-1, output_type=labels.dtype)
        wrong = tf.reduce_sum(tf.cast(predicted != labels, tf.float32))
        return loss, wrong, gradients


def build_model(
    config: ExperimentConfig, input_shape: tuple[int, ...], classes: int
) -> keras.Model:
    """Returns the network of the settings, with initial weights.

    Raises:
        ConfigError: If there is no such network.
    """
    if config.model not in NETWORKS:
        near = difflib.get_close_matches(config.model, NETWORKS, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise ConfigError(
            f"`model` must be one of {', '.join(NETWORKS)}, but it is {config.model!r}.{hint}"
        )
    return build_network(
        config.model,
        input_shape,
        classes,
        crop_size=config.crop_size,
        pool_crops=config.pool_crops,
    )


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Layers made inside compute in the dtypes of a Keras policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
