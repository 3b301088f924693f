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


def shuffled_each(
    key: tf.Tensor, rows: tf.Tensor, positions: tf.Tensor, counts: tf.Tensor
) -> tf.Tensor:
    """Returns which item stands at a position of one of many endless shuffled rows.

    Args:
        key: Of all rows together.
        rows: Which row, int64 `[n]`.
        positions: Where in it, int64 `[n]`.
        counts: How many items that row has, int64 `[n]`, at least 1.

    Returns:
        int64 `[n]`, each from 0 to `counts - 1`.
    """
    epochs = positions // counts
    own = tf.random.stateless_uniform([3], key, None, None, tf.int64, alg=_ALGORITHM)
    of_rows = _mixed(tf.bitwise.bitwise_xor(own, rows[:, None]))
    seeds = _mixed(tf.bitwise.bitwise_xor(of_rows, epochs[:, None]))
    return tf.raw_ops.RandomIndexShuffle(
        index=positions % counts,
        seed=seeds,
        max_index=counts - 1,
        rounds=_SHUFFLE_ROUNDS,
    )


def _mixed(numbers: tf.Tensor) -> tf.Tensor:
    """Spreads integers over all 64 bits, one to one: the finaliser of SplitMix64.

    Source: Steele, Lea, Flood 2014, https://doi.org/10.1145/2660193.2660195; its constants.
    """
    mixed = tf.cast(numbers, tf.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        right = tf.bitwise.right_shift(mixed, tf.constant(shift, tf.uint64))
        mixed = tf.bitwise.bitwise_xor(mixed, right) * tf.constant(factor, tf.uint64)
    return tf.cast(mixed, tf.int64)
