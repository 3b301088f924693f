"""Random numbers that depend on where they are used, not on what was drawn before.

A key is an int64 `[2]`. The same key always gives the same numbers, on every device.
"""

import tensorflow as tf

# Named, because the default differs between kinds of device.
_ALGORITHM = "philox"
# Fewer rounds, or consecutive integers as keys, leave successive permutations correlated (0.9 at
# 60,000 items with 4 rounds, TensorFlow 2.21).
_SHUFFLE_ROUNDS = 16


def make_key(seed: int, purpose: int) -> tf.Tensor:
    """Returns the key of a seed for one of its purposes."""
    return tf.constant([seed, purpose], tf.int64)


def fold(key: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
    """Returns a new key for each integer, for example for each step."""
    return tf.random.experimental.stateless_fold_in(key, number, alg=_ALGORITHM)


def split(key: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Returns `count` new keys."""
    return tf.unstack(tf.random.split(key, count, alg=_ALGORITHM))


def uniform(key: tf.Tensor, shape: tuple[int, ...], low: float, high: float) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, key, low, high, alg=_ALGORITHM)


def integers(key: tf.Tensor, shape: tuple[int, ...], limit: int) -> tf.Tensor:
    """Returns integers, int32, from 0 to `limit - 1`."""
    return tf.random.stateless_uniform(shape, key, 0, limit, tf.int32, alg=_ALGORITHM)


def normal(key: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Returns numbers of mean 0 and deviation 1."""
    return tf.random.stateless_normal(shape, key, alg=_ALGORITHM)


def shuffled(key: tf.Tensor, positions: tf.Tensor, count: int) -> tf.Tensor:
    """Returns which of `count` items stands at each position of an endless shuffled row.

    The row is one permutation of the items after the other; no permutation is ever stored.

    Args:
        key: The row's key.
        positions: Consecutive int64 `[n]`, n static.
        count: How many items there are.

    Returns:
        int64 `[n]`, each from 0 to `count - 1`.
    """
    epochs = positions // count
    first = epochs[0]
    most_epochs = (positions.shape[0] - 1) // count + 2
    epoch_keys = tf.stack(
        [
            tf.random.stateless_uniform(
                [3], fold(key, first + i), None, None, tf.int64, alg=_ALGORITHM
            )
            for i in range(most_epochs)
        ]
    )
    # tf.random.experimental.index_shuffle refuses one key for each index (TensorFlow 2.21); the
    # operation behind it does not.
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % count,
        seed=tf.gather(epoch_keys, epochs - first),
        max_index=tf.fill(positions.shape, tf.constant(count - 1, tf.int64)),
        rounds=_SHUFFLE_ROUNDS,
    )
