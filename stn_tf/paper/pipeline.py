"""Batches of distorted images.

Nothing here has a state: a batch is computed from its number, so that a run goes on from any step,
and any number of replicas shares the same global batches. The examples stay in memory once, as a
tensor that the datasets refer to; they are no constants of a graph.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from stn_tf.data import keys
from stn_tf.paper.batch import Parameters
from stn_tf.paper.distortions import distort, draw
from stn_tf.paper.source import Examples

# What one seed is used for.
_ORDER, _TRAINING, _EVALUATION = 0, 1, 2


def training_dataset(
    examples: Examples,
    distortion: str,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    steps: int | None = None,
    replicas: int = 1,
    replica_ids: Sequence[int] = range(1),
) -> tf.data.Dataset:
    """Returns shuffled batches, distorted anew each time.

    The global batch of a step depends only on `examples`, `distortion`, `batch_size`, `seed` and
    the step. Replica `i` gets the i-th of `replicas` equal slices of it. The examples come in one
    permutation after the other, and a batch may span two of them.

    Args:
        examples: What to show.
        distortion: One of `stn_tf.data.DISTORTIONS`.
        batch_size: Of all replicas together.
        seed: Any integer of 64 bits.
        start_step: The step of the first batch.
        steps: How many steps to give from there; None for no end.
        replicas: How many replicas share a global batch.
        replica_ids: Which of them this dataset is for.

    Returns:
        A dataset of `(images, labels)`: float32 `[batch_size / replicas, H, W, C]` in 0..1 and
        int32; for each step one element for each of `replica_ids`, in their order.

    Raises:
        ValueError: If there are no examples, or the sizes or replicas do not fit together.
    """
    _check(examples, batch_size)
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
    images, labels = _in_memory(examples)
    slice_size = batch_size // replicas
    order_key, training_key = keys.make_key(seed, _ORDER), keys.make_key(seed, _TRAINING)

    def batch(element: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        step = element // len(ids)
        start = tf.gather(tf.constant(ids, tf.int64), element % len(ids)) * slice_size
        positions = step * batch_size + start + tf.range(slice_size, dtype=tf.int64)
        indices = keys.shuffled(order_key, positions, len(examples))
        # Each replica draws for the whole global batch, which costs next to nothing.
        parameters = draw(
            distortion, keys.fold(training_key, step), batch_size, examples.images.shape[1:3]
        )
        parameters = _slice(parameters, start, slice_size)
        return distort(distortion, parameters, images, indices), tf.gather(labels, indices)

    first = start_step * len(ids)
    last = tf.int64.max if steps is None else first + steps * len(ids)
    return _mapped(tf.data.Dataset.range(first, last), batch)


def evaluation_dataset(
    examples: Examples, distortion: str, *, batch_size: int, seed: int
) -> tf.data.Dataset:
    """Returns every example once, in order, each distorted in the one way that `seed` fixes.

    Args:
        examples: What to show.
        distortion: One of `stn_tf.data.DISTORTIONS`.
        batch_size: Of all batches but the last, which may be smaller. It does not influence the
            images.
        seed: Any integer of 64 bits.

    Returns:
        A dataset of `(images, labels)`: float32 `[n, H, W, C]` in 0..1 and int32 `[n]`.

    Raises:
        ValueError: If there are no examples, or `batch_size` is below 1.
    """
    _check(examples, batch_size)
    images, labels = _in_memory(examples)
    count = len(examples)
    with tf.device("CPU:0"):
        parameters = draw(
            distortion, keys.make_key(seed, _EVALUATION), count, examples.images.shape[1:3]
        )

    def batch(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        stop = tf.minimum(start + batch_size, count)
        chosen = _slice(parameters, start, stop - start)
        indices = tf.range(start, stop)
        return distort(distortion, chosen, images, indices), labels[start:stop]

    return _mapped(tf.data.Dataset.range(0, count, batch_size), batch)


def _check(examples: Examples, batch_size: int) -> None:
    if not len(examples):
        raise ValueError("`examples` must not be empty.")
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, but it is {batch_size}.")


def _in_memory(examples: Examples) -> tuple[tf.Tensor, tf.Tensor]:
    # Eager tensors that a dataset's function captures are inputs of it, not constants in it. They
    # must be on the host also where there is a GPU.
    with tf.init_scope(), tf.device("CPU:0"):
        return tf.constant(examples.images), tf.constant(examples.labels)


def _slice(parameters: Parameters, start: tf.Tensor, count: int | tf.Tensor) -> Parameters:
    return {name: values[start : start + count] for name, values in parameters.items()}


def _mapped(
    numbers: tf.data.Dataset, batch: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
) -> tf.data.Dataset:
    return numbers.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(
        tf.data.AUTOTUNE
    )
