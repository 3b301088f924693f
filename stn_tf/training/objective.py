"""What is minimised and measured: losses and metrics by output, as sums over replicas and steps."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.errors import ConfigError
from stn_tf.training.outputs import by_output, match_labels, named_outputs

_MEAN_REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


@dataclasses.dataclass(frozen=True)
class NamedMetric:
    """A metric of an output, under the name by which it is reported."""

    name: str
    output: str
    metric: Any
    weighted: bool

    @property
    def adds_up(self) -> bool:
        """Whether states of parts of the data, added up, are the state of all of it."""
        # True of every metric of Keras, and of what builds upon one.
        return any(
            kind.__module__.startswith("keras.") and kind is not keras.metrics.Metric
            for kind in type(self.metric).__mro__
            if issubclass(kind, keras.metrics.Metric)
        )

    @property
    def direction(self) -> str | None:
        """`up` or `down`: which is better; None if the metric does not say."""
        return getattr(self.metric, "_direction", None)


class Objective:
    """Losses and metrics of a model.

    Args:
        model: For the names of its outputs.
        loss: A Keras loss, its name, a function of labels and predictions, or a mapping or
            sequence of these by output.
        metrics: Keras metrics or their names; or a mapping by output of one or several.
        weighted_metrics: Likewise; these see sample weights.
        loss_weights: Factors of the losses, in the same form as `loss`.

    Raises:
        ConfigError: If they do not fit the model's outputs, here and in what follows.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: Any = None,
        metrics: Any = (),
        *,
        weighted_metrics: Any = (),
        loss_weights: Any = None,
    ):
        self._model = model
        self._loss = loss
        self._loss_weights = loss_weights
        self._wanted = ((metrics, False), (weighted_metrics, True))
        self._losses: dict[str, tuple[Any, float]] = {}
        self.metrics: list[NamedMetric] = []
        self._built = False

    def build(self, y: Any, predicted: Any) -> None:
        """Finds out which loss and metric is for which output.

        Args:
            y: Labels, for their structure and shapes.
            predicted: What the model gives, likewise.
        """
        if self._built:
            return
        outputs = named_outputs(self._model, predicted)
        names = list(outputs)
        losses = by_output(self._loss, names, "loss")
        weights = by_output(self._loss_weights, names, "loss_weights")
        labels = match_labels(y, names, list(losses))
        if isinstance(self._loss, Mapping | list | tuple):
            missing = [name for name in losses if name not in labels]
            if missing:
                raise ConfigError(f"`loss` is for the output {missing[0]!r}, which has no labels.")
        self._losses = {
            name: (_as_loss(loss), float(weights.get(name, 1.0)))
            for name, loss in losses.items()
            if name in labels
        }
        for wanted, weighted in self._wanted:
            self._add_metrics(wanted, weighted, outputs, labels)
        self._built = True

    @property
    def loss_names(self) -> list[str]:
        """The names of the single losses, if there are several."""
        return [f"{name}_loss" for name in self._losses] if len(self._losses) > 1 else []

    def losses(
        self, y: Any, predicted: Any, weights: Any, share: tf.Tensor | float
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns the loss that is minimised, and the single losses of `loss_names`.

        Call it where the model was called, because it adds the losses of the model itself.

        Args:
            y: Labels of this replica.
            predicted: What the model gave.
            weights: Sample weights or None.
            share: Which share of all examples of the step this replica has.

        Returns:
            This replica's parts, float32: their sums over replicas are of all examples.
        """
        outputs = named_outputs(self._model, predicted)
        labels = match_labels(y, list(outputs), list(self._losses))
        sample_weights = match_labels(weights, list(outputs), list(self._losses), spread=True)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        single = []
        total = tf.constant(0.0)
        for name, (loss, factor) in self._losses.items():
            value = loss(labels[name], outputs[name], sample_weights.get(name))
            if loss.reduction in _MEAN_REDUCTIONS:
                # Keras has divided by the number of replicas, as if each had the same share.
                value = value * (replicas * share)
            elif loss.reduction != "sum":
                value = tf.reduce_mean(value) * share
            value = tf.cast(value, tf.float32)
            single.append(value)
            total += factor * value
        extra = [tf.cast(tf.reduce_sum(value), tf.float32) for value in self._model.losses]
        if extra:
            total += tf.add_n(extra) * share
        elif not self._losses:
            raise ConfigError(
                "`loss` is missing, and the model adds none of its own: give `fit` a loss, or "
                "compile the model with one."
            )
        return total, (single if len(single) > 1 else [])

    def initial_states(self) -> list[np.ndarray]:
        """Returns the states of all metrics before they have seen anything."""
        with tf.init_scope():
            return [
                np.asarray(state)
                for named in self.metrics
                for state in named.metric.stateless_reset_state()
            ]

    def update_states(
        self, states: Sequence[Any], y: Any, predicted: Any, weights: Any
    ) -> list[tf.Tensor]:
        """Returns the states after some more examples."""
        result: list[tf.Tensor] = []
        for named, own, arguments in self._each(states, y, predicted, weights):
            result += named.metric.stateless_update_state(own, *arguments)
        return result

    def results(self, states: Sequence[Any]) -> dict[str, float]:
        """Returns the figures that states stand for."""
        figures: dict[str, float] = {}
        for named, own in self._split(states):
            figures |= _flat_figures(named.name, _result(named.metric, own))
        return figures

    def sums(self, y: Any, predicted: Any, weights: Any, examples: tf.Tensor) -> list[tf.Tensor]:
        """Returns what, added up over replicas and steps, `figures` turns into figures.

        Args:
            y: Labels of this replica.
            predicted: What the model gave.
            weights: Sample weights or None.
            examples: How many there are.

        Returns:
            Float32 vectors.
        """
        result = []
        for named, own, arguments in self._each(self.initial_states(), y, predicted, weights):
            states = named.metric.stateless_update_state(own, *arguments)
            if not named.adds_up:
                figure = _result(named.metric, states)
                states = [tf.reduce_mean(tf.cast(figure, tf.float32)) * examples]
            result += [tf.reshape(tf.cast(state, tf.float32), [-1]) for state in states]
        return result

    @property
    def sums_length(self) -> int:
        """How many numbers the vectors of `sums` have in all."""
        return sum(
            sum(state.size for state in own) if named.adds_up else 1
            for named, own in self._split(self.initial_states())
        )

    def figures(self, sums: np.ndarray, examples: float) -> dict[str, float]:
        """Returns the figures of the added up vectors of `sums`, one behind the other."""
        figures: dict[str, float] = {}
        start = 0
        for named, own in self._split(self.initial_states()):
            if not named.adds_up:
                figures[named.name] = float(sums[start] / max(examples, 1.0))
                start += 1
                continue
            states = []
            for state in own:
                states.append(sums[start : start + state.size].reshape(state.shape))
                start += state.size
            figures |= _flat_figures(named.name, _result(named.metric, states))
        return figures

    def _each(
        self, states: Sequence[Any], y: Any, predicted: Any, weights: Any
    ) -> Iterator[tuple[NamedMetric, list[Any], tuple[Any, ...]]]:
        outputs = named_outputs(self._model, predicted)
        labels = match_labels(y, list(outputs), list(self._losses))
        sample_weights = match_labels(weights, list(outputs), list(self._losses), spread=True)
        for named, own in self._split(states):
            arguments: tuple[Any, ...] = (labels[named.output], outputs[named.output])
            if named.weighted:
                arguments += (sample_weights.get(named.output),)
            yield named, own, arguments

    def _split(self, states: Sequence[Any]) -> list[tuple[NamedMetric, list[Any]]]:
        pairs = []
        start = 0
        for named in self.metrics:
            stop = start + len(named.metric.variables)
            pairs.append((named, list(states[start:stop])))
            start = stop
        return pairs

    def _add_metrics(
        self, wanted: Any, weighted: bool, outputs: dict[str, Any], labels: dict[str, Any]
    ) -> None:
        if not isinstance(wanted, Mapping):
            several = [] if wanted is None else _several(wanted)
            if several and len(self._losses or labels) > 1:
                raise ConfigError(
                    f"`metrics` must be a mapping by output, because the model has several: "
                    f"{', '.join(outputs)}."
                )
            wanted = {next(iter(self._losses or labels), ""): several} if several else {}
        for output, metrics in by_output(wanted, list(outputs), "metrics").items():
            if output not in labels:
                raise ConfigError(f"`metrics` has some for {output!r}, which has no labels.")
            for metric in _several(metrics):
                found = _as_metric(metric, labels[output], outputs[output])
                if not found.variables:
                    # Some make their variables when they first see labels.
                    found.update_state(_zeros_like(labels[output]), _zeros_like(outputs[output]))
                    found.reset_state()
                name = f"{output}_{found.name}" if len(outputs) > 1 else found.name
                taken = [named.name for named in self.metrics]
                if name in taken:
                    name = f"weighted_{name}" if weighted else name
                    name = name if name not in taken else f"{name}_{len(taken)}"
                self.metrics.append(NamedMetric(name, output, found, weighted))


class _FunctionLoss(keras.losses.Loss):
    """The mean of what a function of labels and predictions returns."""

    def __init__(self, function: Callable[[Any, Any], Any]):
        super().__init__(name=getattr(function, "__name__", "loss"))
        self._function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self._function(y_true, y_pred)


def _as_loss(loss: Any) -> Any:
    try:
        found = keras.losses.get(loss)
    except ValueError as error:
        raise ConfigError(f"`loss` {loss!r} is unknown to Keras: {error}") from None
    return found if isinstance(found, keras.losses.Loss) else _FunctionLoss(found)


def _as_metric(metric: Any, y: Any, predicted: Any) -> Any:
    if metric in ("accuracy", "acc"):
        if predicted.shape[-1] == 1:
            return keras.metrics.BinaryAccuracy(name=metric)
        if len(y.shape) < len(predicted.shape) or y.shape[-1] == 1:
            return keras.metrics.SparseCategoricalAccuracy(name=metric)
        return keras.metrics.CategoricalAccuracy(name=metric)
    try:
        found = keras.metrics.get(metric)
    except ValueError as error:
        raise ConfigError(f"`metrics` has {metric!r}, unknown to Keras: {error}") from None
    if isinstance(found, keras.metrics.Metric):
        return found
    return keras.metrics.MeanMetricWrapper(found, name=getattr(found, "__name__", "metric"))


def _several(metrics: Any) -> list[Any]:
    return list(metrics) if isinstance(metrics, list | tuple) else [metrics]


def _zeros_like(tensor: Any) -> np.ndarray:
    return np.zeros([length or 1 for length in tensor.shape], np.float32)


def _result(metric: Any, states: Sequence[Any]) -> Any:
    pairs = zip(metric.variables, states, strict=True)
    mapping = [(variable, tf.cast(state, variable.dtype)) for variable, state in pairs]
    with keras.StatelessScope(state_mapping=mapping):
        # Some return a variable, whose value is the given one only here.
        return keras.tree.map_structure(
            lambda x: x.value if isinstance(x, keras.Variable) else x, metric.result()
        )


def _flat_figures(name: str, result: Any) -> dict[str, float]:
    """A metric may have one figure, one for each class, or some with names of their own."""
    if isinstance(result, Mapping):
        return {f"{name}_{key}": float(np.mean(value)) for key, value in result.items()}
    return {name: float(np.mean(result))}
