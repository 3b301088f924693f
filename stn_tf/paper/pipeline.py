"""Batches of what an experiment shows.

Nothing here has a state: a batch is computed from its number, so that a run goes on from any step,
and any number of replicas shares the same global batches.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import tensorflow as tf

from stn_tf.data import keys
from stn_tf.paper.batch import Parameters


class Scenes(Protocol):
    """What the images of an experiment are made of: some examples, and what is random."""

    def __len__(self) -> int:
        """How many examples there are."""

    def draw(self, key: tf.Tensor, count: int) -> Parameters:
        """Returns random parameters, each `[count, ...]`, the same ones for the same key."""

    def make(self, parameters: Parameters, indices: tf.Tensor) -> tuple[Any, Any]:
        """Returns (x, y) as the network takes them, of some examples.

        Args:
            parameters: As `draw` gave them, one for each index.
            indices: Which examples, int64 `[n]`.
        """


# What one seed is used for.
_ORDER, _TRAINING, _EVALUATION = 0, 1, 2


def training_dataset(
    scenes: Scenes,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    steps: int | None = None,
    replicas: int = 1,
    replica_ids: Sequence[int] = range(1),
    ease: Callable[[Parameters, tf.Tensor], Parameters] | None = None,
) -> tf.data.Dataset:
    """Returns shuffled batches, drawn anew each time.

    The global batch of a step depends only on `scenes`, `batch_size`, `seed`, `ease` and the step.
    Replica `i` gets the i-th of `replicas` equal slices of it. The examples come in one permutation
    after the other, and a batch may span two of them.

    Args:
        scenes: What to show.
        batch_size: Of all replicas together.
        seed: Any integer of 64 bits.
        start_step: The step of the first batch.
        steps: How many steps to give from there; None for no end.
        replicas: How many replicas share a global batch.
        replica_ids: Which of them this dataset is for.
        ease: What a step, an int64 scalar, makes of the parameters that were drawn for it.

    Returns:
        A dataset of `(x, y)` of `batch_size / replicas` examples; for each step one element for
        each of `replica_ids`, in their order.

    Raises:
        ValueError: If there are no examples, or the sizes or replicas do not fit together.
    """
    _check(scenes, batch_size)
    ids = list(replica_ids)
    if replicas < 1 or batch_size % replicas:
        raise ValueError(
            f"`batch_size` must be a multiple of `replicas`, but they are {batch_size} and "
            f"{replicas}."
        )
    if not ids or any(not 0 <= i < replicas for i in ids):
        raise ValueError(
            f"`replica_ids` must be numbers from 0 to {replicas - 1}, but they are {ids}."
        )
    if start_step < 0:
        raise ValueError(f"`start_step` must be at least 0, but it is {start_step}.")
    slice_size = batch_size // replicas
    order_key, training_key = keys.make_key(seed, _ORDER), keys.make_key(seed, _TRAINING)

    def batch(element: tf.Tensor) -> tuple[Any, Any]:
        step = element // len(ids)
        start = tf.gather(tf.constant(ids, tf.int64), element % len(ids)) * slice_size
        positions = step * batch_size + start + tf.range(slice_size, dtype=tf.int64)
        indices = keys.shuffled(order_key, positions, len(scenes))
        # Each replica draws for the whole global batch, which costs next to nothing.
        parameters = scenes.draw(keys.fold(training_key, step), batch_size)
        if ease is not None:
            parameters = ease(parameters, step)
        return scenes.make(_slice(parameters, start, slice_size), indices)

    first = start_step * len(ids)
    last = tf.int64.max if steps is None else first + steps * len(ids)
    return _mapped(tf.data.Dataset.range(first, last), batch)


def evaluation_dataset(scenes: Scenes, *, batch_size: int, seed: int) -> tf.data.Dataset:
    """Returns every example once, in order, each drawn in the one way that `seed` fixes.

    Args:
        scenes: What to show.
        batch_size: Of all batches but the last, which may be smaller. It does not influence the
            images.
        seed: Any integer of 64 bits.

    Returns:
        A dataset of `(x, y)`.

    Raises:
        ValueError: If there are no examples, or `batch_size` is below 1.
    """
    _check(scenes, batch_size)
    count = len(scenes)
    with tf.device("CPU:0"):
        parameters = scenes.draw(keys.make_key(seed, _EVALUATION), count)

    def batch(start: tf.Tensor) -> tuple[Any, Any]:
        stop = tf.minimum(start + batch_size, count)
        return scenes.make(_slice(parameters, start, stop - start), tf.range(start, stop))

    return _mapped(tf.data.Dataset.range(0, count, batch_size), batch)


def _check(scenes: Scenes, batch_size: int) -> None:
    if not len(scenes):
        raise ValueError("`scenes` must not be empty.")
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, but it is {batch_size}.")


def _slice(parameters: Parameters, start: tf.Tensor, count: int | tf.Tensor) -> Parameters:
    return {name: values[start : start + count] for name, values in parameters.items()}


def _mapped(
    numbers: tf.data.Dataset, batch: Callable[[tf.Tensor], tuple[Any, Any]]
) -> tf.data.Dataset:
    return numbers.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(
        tf.data.AUTOTUNE
    )
