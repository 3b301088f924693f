"""Loss and metrics of a model on data that it does not learn from."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.errors import ConfigError, DataError
from stn_tf.sampling.choice import preferred_sampler
from stn_tf.training.compiled import compiled_with
from stn_tf.training.objective import Objective


class Validation:
    """Measures a model on all of some data, each example once.

    Every worker measures all of it by itself, on its first device: nothing is shared out, and
    nothing but the batch at hand is in memory.

    Args:
        model: As it is when measured.
        objective: Built.
        data: Anything that gives (x, y, sample weights) each time it is iterated over, or a
            `keras.utils.PyDataset`. Batches may differ in size.

    Raises:
        ConfigError: If the data has no end.
    """

    def __init__(self, model: keras.Model, objective: Objective, data: Iterable[Any]):
        endless = (
            data.cardinality() == tf.data.INFINITE_CARDINALITY
            if isinstance(data, tf.data.Dataset)
            else isinstance(data, keras.utils.PyDataset) and data.num_batches is None
        )
        if endless:
            raise ConfigError("`validation` must end, but it has no end: it may be repeated.")
        self._model = model
        self._objective = objective
        self._data = data
        self._measure = tf.function(self._measure_batch, autograph=False, reduce_retracing=True)

    def figures(self) -> dict[str, float]:
        """Returns the mean loss, single losses and metrics.

        Raises:
            DataError: If there are no examples.
        """
        names = ["loss", *self._objective.loss_names]
        totals = np.zeros(len(names))
        count = 0
        states: list[Any] = [tf.constant(s) for s in self._objective.initial_states()]
        for batch in batches_of(self._data):
            x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
            examples, losses, states = self._measure(x, y, weights, states)
            totals += losses.numpy().astype(np.float64) * int(examples)
            count += int(examples)
        if not count:
            raise DataError(
                "`validation` has no examples. Give some, or None to train without; an iterator "
                "that can be used only once gives none the second time."
            )
        means = dict(zip(names, map(float, totals / count), strict=True))
        return means | self._objective.results(states)

    def _measure_batch(
        self, x: Any, y: Any, weights: Any, states: list[Any]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        with preferred_sampler():
            predicted = self._model(x, training=False)
        total, single = self._objective.losses(y, predicted, weights, 1.0)
        states = self._objective.update_states(states, y, predicted, weights)
        return tf.shape(tf.nest.flatten(x)[0])[0], tf.stack([total, *single]), states


def measure(
    model: keras.Model, data: Iterable[Any], *, loss: Any = None, metrics: Any = ()
) -> dict[str, float]:
    """Returns the mean loss, single losses and metrics of a model on some data.

    Args:
        model: Any Keras model.
        data: As `Validation` takes it.
        loss: As `fit` takes it; None for what the model was compiled with.
        metrics: As `fit` takes it.

    Raises:
        ConfigError: If there is no loss, or it does not fit.
        DataError: If there are no examples.
    """
    given: dict[str, Any] = {"loss": loss, "metrics": metrics}
    if loss is None:
        given = vars(compiled_with(model)) | ({"metrics": metrics} if metrics else {})
    objective = Objective(model, **given)
    for batch in batches_of(data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        objective.build(y, model(x, training=False))
        break
    return Validation(model, objective, data).figures()


def batches_of(data: Any) -> Iterable[Any]:
    """Returns an iterable over the batches of anything, as tuples."""
    if isinstance(data, keras.utils.PyDataset):
        return (standard(data[i]) for i in range(data.num_batches))
    return (standard(batch) for batch in data)


def standard(batch: Any) -> Any:
    """Returns a batch as a tuple; lists of arrays, which Keras takes for tuples, included."""
    if isinstance(batch, list):
        return tuple(batch)
    return batch
