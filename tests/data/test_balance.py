"""Rows that show every class equally often, and weights."""

import numpy as np
import pytest
import tensorflow as tf

from stn_tf.data import keys
from stn_tf.data.balance import (
    balanced_positions,
    balanced_weights,
    by_class,
    imbalance,
    weights_of,
)
from stn_tf.errors import ConfigError


def test_every_row_is_one_permutation_after_the_other() -> None:
    key = keys.make_key(3, 1)
    counts = np.array([5, 1, 12])
    for row, count in enumerate(counts):
        positions = tf.range(3 * count, dtype=tf.int64)
        rows = tf.fill(positions.shape, tf.constant(row, tf.int64))
        filled = tf.fill(positions.shape, tf.constant(count, tf.int64))
        found = keys.shuffled_each(key, rows, positions, filled).numpy().reshape(3, count)
        np.testing.assert_array_equal(np.sort(found), np.tile(np.arange(count), (3, 1)))
        if count == 12:
            assert len(np.unique(found, axis=0)) == 3
            other = keys.shuffled_each(key, rows + 1, positions, filled).numpy()
            assert (other != found.ravel()).any()


def test_permutations_are_not_correlated() -> None:
    count, epochs = 2000, 20
    positions = tf.range(count * epochs, dtype=tf.int64)
    filled = tf.fill(positions.shape, tf.constant(count, tf.int64))
    for rows in (tf.zeros_like(positions), positions // count):
        at = positions if rows[-1] == 0 else positions % count
        found = keys.shuffled_each(keys.make_key(0, 0), rows, at, filled).numpy()
        correlations = np.corrcoef(found.reshape(epochs, count))
        # Of independent ones, a deviation of 1 / sqrt(2000) = 0.022.
        assert np.abs(correlations[~np.eye(epochs, dtype=bool)]).max() < 0.11


def test_each_class_is_shown_equally_often() -> None:
    labels = np.array([0] * 1 + [1] * 7 + [3] * 20)
    members = by_class(labels, 4)
    key = keys.make_key(7, 0)
    found = balanced_positions(key, tf.range(3 * 7 * 20, dtype=tf.int64), members).numpy()
    shown = labels[found]
    # The class without examples is left out.
    np.testing.assert_array_equal(np.sort(shown.reshape(-1, 3)), np.tile([0, 1, 3], (140, 1)))
    # Of a class, every example equally often.
    np.testing.assert_array_equal(np.bincount(found), [140] + [20] * 7 + [7] * 20)
    parts = [
        balanced_positions(key, tf.range(start, start + 84, dtype=tf.int64), members).numpy()
        for start in range(0, 420, 84)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), found)


def test_balanced_weights_even_out(rng: np.random.Generator) -> None:
    labels = rng.choice(5, 400, p=[0.7, 0.1, 0.1, 0.1, 0.0])
    weights = balanced_weights(labels, 5)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights[labels].mean(), 1, rtol=1e-6)
    totals = np.bincount(labels, weights[labels])
    np.testing.assert_allclose(totals, 100, rtol=1e-5)


def test_weights_by_name() -> None:
    np.testing.assert_array_equal(weights_of({"b": 2, "c": 0.0}, ("a", "b", "c")), [1, 2, 0])
    for wrong, message in (
        ({"d": 1.0, "e": 1.0}, r"`class_weights` names d, e, but the classes are a, b, c\."),
        ({"a": -1.0}, r"at least 0, but that of a is -1\.0"),
        ({"a": float("nan")}, "that of a is nan"),
        (dict.fromkeys("abc", 0.0), "must not be 0 for all classes"),
    ):
        with pytest.raises(ConfigError, match=message):
            weights_of(wrong, ("a", "b", "c"))


def test_imbalance_is_said_from_three_to_one_on() -> None:
    assert imbalance(np.array([0] * 6 + [1] * 2), ("a", "b"), "none", False) is None
    unequal = np.array([0] * 7 + [1] * 2)
    assert imbalance(unequal, ("a", "b"), "none", False) == (
        "The classes are unequal, from 2 training images of b to 7 of a: taken as they come "
        "(balance=sampling shows, balance=weights weighs each alike)."
    )
    assert "shown equally often" in str(imbalance(unequal, ("a", "b"), "sampling", False))
    assert "by balance=weights" in str(imbalance(unequal, ("a", "b"), "weights", False))
    assert "by class_weights" in str(imbalance(unequal, ("a", "b"), "none", True))
