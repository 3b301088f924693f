"""Against classes of unequal numbers: sampling that shows each equally often, or weights."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from stn_tf.data import keys
from stn_tf.data.listing import listed
from stn_tf.errors import ConfigError

BALANCES = ("none", "sampling", "weights")
# From this ratio on, it is said that classes are unequal.
_UNEQUAL = 3
# What a key is used for.
_CLASSES, _MEMBERS = 0, 1


class Members(NamedTuple):
    """Examples in the order of their classes.

    Attributes:
        order: Numbers of examples, int64 `[N]`.
        starts: Where each class that has examples begins, int64 `[K]`.
        counts: How many it has, int64 `[K]`.
    """

    order: tf.Tensor
    starts: tf.Tensor
    counts: tf.Tensor


def by_class(labels: np.ndarray, classes: int) -> Members:
    """Puts examples in the order of their classes; classes without examples are left out."""
    counts = np.bincount(labels, minlength=classes)
    there = np.flatnonzero(counts)
    starts = np.concatenate([[0], np.cumsum(counts)])[there]
    order = np.argsort(labels, kind="stable")
    return Members(*(tf.constant(v, tf.int64) for v in (order, starts, counts[there])))


def balanced_positions(key: tf.Tensor, positions: tf.Tensor, members: Members) -> tf.Tensor:
    """Returns which example stands at each position of an endless row that is balanced.

    The row is one permutation of the classes after the other, and each class shows its examples in
    one permutation after the other.

    Args:
        key: The row's.
        positions: int64 `[n]`.
        members: Of the classes.

    Returns:
        int64 `[n]`.
    """
    classes = members.starts.shape[0]
    # A batch may span many permutations of few classes: one row for all of them.
    row = tf.zeros_like(positions)
    chosen = keys.shuffled_each(keys.fold(key, _CLASSES), row, positions, row + classes)
    turns = positions // classes
    counts = tf.gather(members.counts, chosen)
    places = keys.shuffled_each(keys.fold(key, _MEMBERS), chosen, turns, counts)
    return tf.gather(members.order, tf.gather(members.starts, chosen) + places)


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Returns a weight for each class, so that all weigh alike and the mean over examples is 1."""
    counts = np.bincount(labels, minlength=classes)
    there = np.count_nonzero(counts)
    return (len(labels) / (there * np.maximum(counts, 1))).astype(np.float32)


def weights_of(by_name: Mapping[str, float], classes: Sequence[str]) -> np.ndarray:
    """Returns float32 weights in the order of classes; 1 for those not named.

    Raises:
        ConfigError: If a class is unknown or a weight is no number of at least 0.
    """
    if unknown := [name for name in by_name if name not in classes]:
        raise ConfigError(
            f"`class_weights` names {listed(unknown)}, but the classes are {listed(list(classes))}."
        )
    for name, weight in by_name.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(
                f"`class_weights` must be numbers of at least 0, but that of {name} is {weight}."
            )
    if not any(by_name.get(name, 1.0) for name in classes):
        raise ConfigError("`class_weights` must not be 0 for all classes.")
    return np.array([by_name.get(name, 1.0) for name in classes], np.float32)


def imbalance(
    labels: np.ndarray, classes: Sequence[str], balance: str, weighted: bool
) -> str | None:
    """Returns a line that says how unequal the classes are, if they are."""
    counts = np.bincount(labels, minlength=len(classes))
    least, most = int(np.argmin(counts)), int(np.argmax(counts))
    if counts[most] <= _UNEQUAL * counts[least]:
        return None
    if balance == "none" and not weighted:
        done = "taken as they come (balance=sampling shows, balance=weights weighs each alike)"
    elif balance == "sampling":
        done = "each is shown equally often (balance=sampling)"
    else:
        done = f"weighed in the loss by {'class_weights' if weighted else 'balance=weights'}"
    return (
        f"The classes are unequal, from {counts[least]:,} training images of {classes[least]} to "
        f"{counts[most]:,} of {classes[most]}: {done}."
    )
