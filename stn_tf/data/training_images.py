"""Endless shuffled batches of training images.

Nothing here has a state: the global batch of a step is computed from the seed and the step, so that
a run goes on from any step, and any number of replicas shares the same global batches.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from stn_tf.data import keys
from stn_tf.data.balance import (
    BALANCES,
    balanced_positions,
    balanced_weights,
    by_class,
    imbalance,
    weights_of,
)
from stn_tf.data.decoded_images import DecodedImages
from stn_tf.errors import ConfigError

# What one seed is used for.
_ORDER, _AUGMENTATION, _MIXING = 10, 11, 12
# Batches that are ready before they are asked for.
_AHEAD = 2

Parameters = dict[str, tf.Tensor]


class Augmentation(Protocol):
    """Changes images as `stn_tf.data.augmentation.Augmentation` does."""

    def draw(self, key: tf.Tensor, count: int) -> Parameters:
        """Returns random parameters, each `[count, ...]`; the same for the same key."""

    def apply(self, images: tf.Tensor, parameters: Parameters, size: tuple[int, int]) -> tf.Tensor:
        """Returns uint8 images changed, in another size: float32 in 0..1."""


Mixing = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class TrainingImages:
    """Batches of a part's images, augmented anew each time.

    Args:
        images: The images.
        labels: Integers `[N]`, indices into `classes`.
        classes: Their names.
        batch_size: Of all replicas together.
        seed: Any integer of 64 bits.
        size: Height and width of the batches; None for those of `images`.
        augmentation: What changes the images; None for nothing.
        balance: Against unequal classes: `none`; `sampling`, where every class is shown equally
            often; or `weights`, where every class weighs equally in the loss.
        class_weights: Weights of the loss by name, instead of `balance`; 1 for those not named.
        mixing: Mixes neighbours, the pairs 2j and 2j + 1 of a batch: called with a key, the number
            of the first pair in the global batch, images, and one-hot labels.

    Attributes:
        notes: What was decided, a line each, with the setting that changes it.

    Raises:
        ConfigError: If settings cannot be, alone or together.
    """

    def __init__(
        self,
        images: DecodedImages,
        labels: np.ndarray,
        classes: Sequence[str],
        *,
        batch_size: int,
        seed: int = 0,
        size: tuple[int, int] | None = None,
        augmentation: Augmentation | None = None,
        balance: str = "none",
        class_weights: Mapping[str, float] | None = None,
        mixing: Mixing | None = None,
    ) -> None:
        if not len(images) or len(images) != len(labels):
            raise ValueError(
                f"`labels` must be one for each of `images`, at least 1, but there are "
                f"{len(labels)} labels and {len(images)} images."
            )
        if batch_size < 1:
            raise ConfigError(f"`batch_size` must be at least 1, but it is {batch_size}.")
        if balance not in BALANCES:
            raise ConfigError(
                f"`balance` must be one of {', '.join(BALANCES)}, but it is {balance!r}."
            )
        if class_weights and balance != "none":
            raise ConfigError(
                f"`class_weights` stand instead of `balance`, but it is {balance!r}. Leave one out."
            )
        self.size = size or images.shape[:2]
        if augmentation is None and self.size != images.shape[:2]:
            raise ValueError(
                f"`size` must be that of the images, {images.shape[:2]}, without augmentation, but "
                f"it is {self.size}. Decode them with an oversample of 1."
            )
        self.images = images
        self.classes = tuple(classes)
        self.batch_size = batch_size
        self.seed = seed
        self._labels = np.asarray(labels, np.int32)
        self._augmentation = augmentation
        self._mixing = mixing
        self._balanced = balance == "sampling"
        self._weights: np.ndarray | None = None
        notes = list(images.notes)
        if balance == "weights":
            self._weights = balanced_weights(self._labels, len(self.classes))
        elif class_weights:
            self._weights = weights_of(class_weights, self.classes)
        if note := imbalance(self._labels, self.classes, balance, bool(class_weights)):
            notes.append(note)
        self.notes = tuple(notes)

    def __len__(self) -> int:
        return len(self._labels)

    def batches(
        self, start_step: int = 0, *, replicas: int = 1, replica_ids: Sequence[int] = (0,)
    ) -> tf.data.Dataset:
        """Returns the batches from a step on, without end.

        The images come in one permutation after the other, and a batch may span two of them.

        Args:
            start_step: The step of the first batch.
            replicas: How many replicas share a global batch: each gets an equal slice.
            replica_ids: Which of them this dataset is for.

        Returns:
            A dataset of `(images, labels)` or, with weights, `(images, labels, weights)`: float32
            `[batch_size / replicas, H, W, C]` in 0..1, float32 `[., classes]` and float32 `[.]`;
            for each step one element for each of `replica_ids`, in their order. Going through it
            raises as `DecodedImages` does.

        Raises:
            ConfigError: If the batch cannot be shared so.
            ValueError: If a step or an id is none.
        """
        ids = list(replica_ids)
        self._check(start_step, replicas, ids)
        slice_size = self.batch_size // replicas
        order, augmentation, mixing = (
            keys.make_key(self.seed, purpose) for purpose in (_ORDER, _AUGMENTATION, _MIXING)
        )
        # What a dataset's function captures is an input of it, not a constant in it.
        with tf.init_scope(), tf.device("CPU:0"):
            labels = tf.constant(self._labels)
            weights = None if self._weights is None else tf.constant(self._weights)
            members = by_class(self._labels, len(self.classes)) if self._balanced else None

        def batch(element: tf.Tensor) -> tuple[tf.Tensor, ...]:
            step = element // len(ids)
            start = tf.gather(tf.constant(ids, tf.int64), element % len(ids)) * slice_size
            positions = step * self.batch_size + start + tf.range(slice_size, dtype=tf.int64)
            if members is None:
                indices = keys.shuffled(order, positions, len(self))
            else:
                indices = balanced_positions(order, positions, members)
            images = self.images.read(indices)
            if self._augmentation is None:
                images = tf.cast(images, tf.float32) / 255.0
            else:
                # Each replica draws for the whole global batch, which costs next to nothing.
                drawn = self._augmentation.draw(keys.fold(augmentation, step), self.batch_size)
                mine = {name: values[start : start + slice_size] for name, values in drawn.items()}
                images = self._augmentation.apply(images, mine, self.size)
            targets = tf.one_hot(tf.gather(labels, indices), len(self.classes))
            if self._mixing is not None:
                images, targets = self._mixing(keys.fold(mixing, step), start // 2, images, targets)
            images = tf.ensure_shape(images, [slice_size, *self.size, self.images.shape[2]])
            if weights is None:
                return images, targets
            return images, targets, tf.linalg.matvec(targets, weights)

        # Nothing in it is for autograph, which takes most of the time of tracing.
        traced = tf.autograph.experimental.do_not_convert(batch)
        return (
            tf.data.Dataset.range(start_step * len(ids), tf.int64.max)
            .map(traced, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .prefetch(_AHEAD * len(ids))
        )

    def _check(self, start_step: int, replicas: int, ids: Sequence[Any]) -> None:
        if replicas < 1 or self.batch_size % replicas:
            raise ConfigError(
                f"`batch_size` must be a multiple of the {replicas} replicas, but it is "
                f"{self.batch_size}."
            )
        if self._mixing is not None and (self.batch_size // replicas) % 2:
            raise ConfigError(
                "`batch_size` must be even for each replica, because mixup and cutmix mix pairs, "
                f"but it is {self.batch_size} for {replicas}."
            )
        if not ids or any(not 0 <= number < replicas for number in ids):
            raise ValueError(
                f"`replica_ids` must be numbers from 0 to {replicas - 1}, but they are {ids}."
            )
        if start_step < 0:
            raise ValueError(f"`start_step` must be at least 0, but it is {start_step}.")
