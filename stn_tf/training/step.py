"""One training step on every replica."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.sampling.choice import preferred_sampler
from stn_tf.training.config import FitConfig
from stn_tf.training.objective import Objective
from stn_tf.training.optimizers import Updater
from stn_tf.training.parts import moving_statistics

# Where each figure stands in the vector that a step returns; losses and metrics follow.
LOSS, EXAMPLES, STOP, WISH, BAD, LOST = range(6)
_FROM_REPLICAS = 4


class Trainer:
    """A model, and the step that changes it. Make it in the strategy's scope.

    A step whose loss or gradients are no numbers changes nothing at all, on any replica: no
    weight, no moment, no moving statistic, no random state. With `on_nan` stop, neither does any
    step after it. Weights that are no numbers after an update cannot be taken back; they are
    reported, and must not be saved.

    Args:
        config: The settings.
        model: With all its weights.
        objective: Built.
        updater: Of `model.trainable_variables`.
        strategy: Where it runs.
        equal_shares: Whether all replicas always have the same number of examples.
    """

    def __init__(
        self,
        config: FitConfig,
        model: keras.Model,
        objective: Objective,
        updater: Updater,
        strategy: tf.distribute.Strategy,
        *,
        equal_shares: bool,
    ):
        self.model = model
        self.without_gradient: list[str] = []
        self._config = config
        self._objective = objective
        self._updater = updater
        self._strategy = strategy
        self._replicas = strategy.num_replicas_in_sync
        self._equal_shares = equal_shares
        self._halted = tf.Variable(False, trainable=False)
        self.retrace()

    def retrace(self) -> None:
        """Has the step traced anew, after layers were frozen or freed."""
        self.learning = self.model.trainable_variables
        known = {id(variable) for variable in self.learning}
        # What the forward pass may change: moving statistics and random states.
        self._moving = [v for v in self.model.variables if id(v) not in known]
        self._statistics = moving_statistics(self.model)
        self._unused: set[int] = set()
        # XLA compiles what a replica computes by itself; what replicas exchange stays outside.
        # Without it this is no function of its own: synchronized batch normalisation exchanges
        # its statistics in the middle, which MirroredStrategy cannot do within a nested function.
        self._compute = (
            tf.function(self._loss_gradients, autograph=False, jit_compile=True)
            if self._config.xla
            else self._loss_gradients
        )
        self._single = tf.function(self._single_step, autograph=False, reduce_retracing=True)
        self._part = tf.function(self._accumulate, autograph=False, reduce_retracing=True)
        self._last = tf.function(self._finish, autograph=False)
        self._before = tf.function(self._moving_values, autograph=False)
        self._mean = tf.function(self._mean_statistics, autograph=False)
        self._nothing = tf.function(self._no_sums, autograph=False)

    def step(self, batches: Sequence[Any], *, stop: bool = False, wish: bool = False) -> tf.Tensor:
        """Takes a step, which is one update.

        Args:
            batches: `accumulate_steps` elements: (x, y, sample weights) of a replica, or with one
                value per replica.
            stop: Whether this worker wishes to stop.
            wish: Whether it wishes for a checkpoint.

        Returns:
            Float32 figures, equal on all workers: the mean loss, how many examples there were, how
            many replicas wish to stop and for a checkpoint, whether the step was skipped, whether
            weights are no numbers now; then the sums of the objective.
        """
        signals = tf.constant([float(stop), float(wish)])
        if len(batches) == 1:
            return self._single(batches[0], signals)
        before = self._before()
        carried = self._nothing()
        for batch in batches:
            carried = self._part(batch, signals, carried)
        return self._last(*carried, before)

    def figures(self, vectors: Sequence[np.ndarray]) -> dict[str, float]:
        """Returns the mean loss and the metrics of some steps, of those that were not skipped."""
        taken = [v.astype(np.float64) for v in vectors if not v[BAD]]
        examples = sum(v[EXAMPLES] for v in taken)
        if not examples:
            return {}
        mean = np.sum([v * v[EXAMPLES] for v in taken], axis=0) / examples
        names = self._objective.loss_names
        start = LOST + 1 + len(names)
        figures = {"loss": float(mean[LOSS])}
        figures |= zip(names, map(float, mean[LOST + 1 : start]), strict=True)
        return figures | self._objective.figures(
            np.sum([v[start:] for v in taken], axis=0), examples
        )

    def synchronise(self) -> None:
        """Gives moving statistics their mean over all replicas, which may differ in them.

        It is what a checkpoint holds and validation uses, so that all replicas go on with it too.
        """
        if self._replicas > 1 and self._statistics:
            self._mean()

    def _mean_statistics(self) -> None:
        def replica() -> None:
            context = tf.distribute.get_replica_context()
            values = [tf.identity(variable.value) for variable in self._statistics]
            means = context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
            for variable, mean in zip(self._statistics, means, strict=True):
                variable.assign(mean)

        self._strategy.run(replica)

    def _single_step(self, batch: Any, signals: tf.Tensor) -> tf.Tensor:
        before = self._moving_values()
        sums, gradients = self._strategy.run(self._replica, args=(batch, signals))
        return self._update(self._one(sums), gradients, before)

    def _accumulate(self, batch: Any, signals: tf.Tensor, carried: Any) -> Any:
        """Adds a batch's sums and gradients to those of the batches before."""

        def replica(batch: Any, signals: tf.Tensor, carried: Any) -> Any:
            sums, gradients = self._replica(batch, signals)
            added = zip(carried[1], gradients, strict=True)
            return self._add_sums(carried[0], sums), [a + b for a, b in added]

        return self._strategy.run(replica, args=(batch, signals, carried))

    def _no_sums(self) -> Any:
        length = _FROM_REPLICAS + len(self._objective.loss_names) + self._objective.sums_length

        def replica() -> Any:
            return tf.zeros([length]), [tf.zeros_like(v.value) for v in self.learning]

        return self._strategy.run(replica)

    def _finish(self, sums: Any, gradients: Any, before: Any) -> tf.Tensor:
        count = self._config.accumulate_steps
        sums = self._one(sums)
        mean = self._strategy.run(lambda given: [g / count for g in given], args=(gradients,))
        return self._update(sums, mean, before)

    def _add_sums(self, one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        """Losses are weighted by examples, and all else is added."""
        losses = 1 + len(self._objective.loss_names)
        examples = one[EXAMPLES] + other[EXAMPLES]
        where = [LOSS, *range(_FROM_REPLICAS, _FROM_REPLICAS + losses - 1)]
        is_mean = np.isin(np.arange(one.shape[0]), where)
        means = (one * one[EXAMPLES] + other * other[EXAMPLES]) / examples
        return tf.where(is_mean, means, one + other)

    def _moving_values(self) -> Any:
        # Reading copies nothing: TensorFlow gives a variable new memory when it changes.
        return self._strategy.run(lambda: [tf.identity(v.value) for v in self._moving])

    def _update(self, sums: tf.Tensor, gradients: Any, before: Any) -> tf.Tensor:
        """Updates all weights, or nothing, outside of replicas."""
        local = [self._one(gradient) for gradient in gradients]
        norm = tf.sqrt(2.0 * tf.add_n([tf.nn.l2_loss(tf.cast(g, tf.float32)) for g in local]))
        finite_loss = tf.math.is_finite(sums[LOSS])
        taken = finite_loss & tf.math.is_finite(norm) & ~self._halted
        pairs = [
            (gradient, variable)
            for i, (gradient, variable) in enumerate(zip(gradients, self.learning, strict=True))
            if i not in self._unused
        ]

        def update() -> tf.Tensor:
            self._updater.apply(pairs, norm, self._strategy)
            return tf.constant(False)

        def undo() -> tf.Tensor:
            self._strategy.run(self._put_back, args=(before,))
            curable = self._updater.lower_scale()
            return ~(finite_loss & curable)

        # Outside of replicas, because MirroredStrategy cannot update weights in their conditions.
        bad = tf.cond(taken, update, undo)
        squares = [tf.nn.l2_loss(tf.cast(v.value, tf.float32)) for v in self.learning]
        lost = ~tf.math.is_finite(tf.add_n(squares))
        stops = lost if self._config.on_nan == "skip" else lost | bad
        self._halted.assign(self._halted | stops)
        flags = tf.cast(tf.stack([~taken, bad, lost]), tf.float32)
        skipped, bad_flag, lost_flag = tf.unstack(flags)
        # A step that only lowered the loss scale is skipped in silence: 0.5.
        mark = tf.maximum(bad_flag, 0.5 * skipped)
        head, tail = sums[:_FROM_REPLICAS], sums[_FROM_REPLICAS:]
        return tf.concat([head, [mark, lost_flag], tail], axis=0)

    def _put_back(self, before: list[tf.Tensor]) -> None:
        for variable, value in zip(self._moving, before, strict=True):
            variable.assign(value)

    def _replica(self, batch: Any, signals: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        context = tf.distribute.get_replica_context()
        reduce = tf.distribute.ReduceOp.SUM
        examples = tf.cast(tf.shape(tf.nest.flatten(x)[0])[0], tf.float32)
        if self._equal_shares or self._replicas == 1:
            share = tf.constant(1.0 / self._replicas)
        else:
            share = examples / context.all_reduce(reduce, examples)
        losses, sums, gradients = self._compute(x, y, weights, share)
        head = tf.stack([losses[0], examples, *tf.unstack(signals)])
        vector = tf.concat([head, losses[1:], *sums], axis=0)
        if self._replicas > 1:
            vector = context.all_reduce(reduce, vector)
            gradients = context.all_reduce(reduce, gradients)
        return vector, self._updater.unscale(gradients)

    def _loss_gradients(
        self, x: Any, y: Any, weights: Any, share: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
        values = [variable.value for variable in self.learning]
        # Here, because a strategy may trace each replica in a thread of its own.
        with preferred_sampler(), tf.GradientTape() as tape:
            predicted = self.model(x, training=True)
            total, single = self._objective.losses(y, predicted, weights, share)
            scaled = self._updater.scale_loss(total)
        gradients = tape.gradient(scaled, values)
        self._unused = {i for i, gradient in enumerate(gradients) if gradient is None}
        self.without_gradient = [self.learning[i].path for i in sorted(self._unused)]
        dense = [
            tf.zeros_like(value) if gradient is None else tf.convert_to_tensor(gradient)
            for gradient, value in zip(gradients, values, strict=True)
        ]
        examples = tf.cast(tf.shape(tf.nest.flatten(x)[0])[0], tf.float32)
        sums = self._objective.sums(y, predicted, weights, examples)
        return tf.stack([total, *single]), sums, dense

    def _one(self, value: Any) -> Any:
        """Returns the value of one replica, where all have the same."""
        return self._strategy.experimental_local_results(value)[0]
