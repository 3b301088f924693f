"""One pass over images: mistakes, the worst of them, and what the transformers do."""

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.errors import DataError
from stn_tf.experiments.class_answers import check_labels, class_probabilities, classifies
from stn_tf.experiments.examples import (
    Example,
    Highest,
    drawn,
    example_maker,
    with_answer,
)
from stn_tf.experiments.run import class_indices
from stn_tf.geometry import Transform
from stn_tf.interface import ModelInterface
from stn_tf.layers import record_transformations
from stn_tf.layers.recording import Transformation
from stn_tf.sampling.choice import preferred_sampler
from stn_tf.training.validation import batches_of

# Of more images, theta is kept of so many that are drawn at random.
MOST_THETAS = 2000
_MOST_MISTAKES = 12
_MOST_OUTSIDE = 4
# Points on the edge are inside, whatever rounding says.
_EDGE = 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class TransformerSurvey:
    """What a spatial transformer did to many images.

    Attributes:
        name: Of its layer; of a second call of it, with a number.
        transform: The family of theta.
        thetas: `[M, K, P]` float32 of K crops an image: of all images, or of those drawn.
        outside: Which share of the points of each crop lay outside of what is read: `[K]`.
        mostly_outside: Of how many images it was more than half, over all crops.
    """

    name: str
    transform: Transform
    thetas: np.ndarray
    outside: np.ndarray
    mostly_outside: int


@dataclasses.dataclass(frozen=True, eq=False)
class Survey:
    """What one pass over a part of the data says of a model.

    Attributes:
        split: The part.
        images: How many there are.
        confusion: `[K, K]` counts, row the true class, column the predicted one; None where the
            task has no classes that exclude each other.
        mistakes: The images that were taken for a wrong class with the highest probability.
        outside: The images of which the transformers read most outside; none without transformers.
        transformers: In the order in which they are called.
    """

    split: str
    images: int
    confusion: np.ndarray | None
    mistakes: tuple[Example, ...] = ()
    outside: tuple[Example, ...] = ()
    transformers: tuple[TransformerSurvey, ...] = ()


# Where the data has nothing to look at.
NOTHING = Survey("test", 0, None)


def survey(
    model: keras.Model,
    data: Iterable[Any],
    interface: ModelInterface,
    *,
    split: str = "test",
    names: Sequence[str] | None = None,
    looks: bool = True,
) -> Survey:
    """Goes through images once, a batch at a time.

    Args:
        model: What looks at them.
        data: Batches `(x, y)` or `(x, y, weights)`; labels are indices or one-hot.
        interface: What the model takes and gives.
        split: What the part of the data is called.
        names: Of the images, in the order of the data.
        looks: Whether transformers and single images are looked at; if not, mistakes are counted.

    Raises:
        DataError: If there are no images, or a label is of no class.
    """
    classes = len(interface.class_names) if classifies(interface) else 0
    reading = _Reading(model, looks)
    probabilities = class_probabilities(model, interface)
    confusion = np.zeros((classes, classes), np.int64) if classes else None
    mistakes: Highest[Example] = Highest(_MOST_MISTAKES)
    outside: Highest[Example] = Highest(_MOST_OUTSIDE)
    transformers: list[_Sums] = []
    count = 0
    for batch in batches_of(data):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
        outputs, looked = reading.call(x)
        size = len(tf.nest.flatten(x)[0])
        if looks and not transformers:
            transformers = [_Sums(layer) for layer in reading.layers]
        for sums, (theta, shares) in zip(transformers, looked, strict=True):
            sums.add(size, theta.numpy(), shares.numpy())
        share = np.mean([sums.last for sums in transformers] or [np.zeros(size)], axis=0)
        example = example_maker(x, count, names, share)
        if confusion is not None:
            labels = class_indices(np.asarray(y))
            check_labels(labels, classes, split)
            shares = probabilities(np.asarray(outputs))
            predicted = shares.argmax(axis=-1)
            np.add.at(confusion, (labels, predicted), 1)
            told = np.take_along_axis(shares, predicted[:, None], 1)[:, 0]
            example = with_answer(example, labels, predicted, told)
            if looks:
                wrong = np.where(labels == predicted, -np.inf, np.nan_to_num(told, nan=1.0))
                mistakes.offer(wrong, example)
        if transformers:
            outside.offer(share, example)
        count += size
    if not count:
        raise DataError(f"The part {split} of the data has no images. Give some.")
    examples = drawn(model, [*mistakes.items, *outside.items], interface)
    return Survey(
        split=split,
        images=count,
        confusion=confusion,
        mistakes=tuple(examples[: len(mistakes.items)]),
        outside=tuple(examples[len(mistakes.items) :]),
        transformers=tuple(
            sums.result(name)
            for sums, name in zip(transformers, _call_names(transformers), strict=True)
        ),
    )


class _Reading:
    """The model, and what its transformers do, as one function that is traced for each shape.

    Attributes:
        layers: The transformers in the order of their calls, once it has been called.
    """

    def __init__(self, model: keras.Model, looks: bool):
        self._model = model
        self._looks = looks
        self.layers: list[Any] = []
        self.call = tf.function(self._call, autograph=False, reduce_retracing=True)

    def _call(self, x: Any) -> tuple[tf.Tensor, list[tuple[tf.Tensor, tf.Tensor]]]:
        recording: Any = record_transformations() if self._looks else contextlib.nullcontext([])
        with preferred_sampler(), recording as records:
            outputs = self._model(x, training=False)
        self.layers = [record.layer for record in records]
        return tf.nest.flatten(outputs)[0], [(r.theta, _outside(r)) for r in records]


def _outside(record: Transformation) -> tf.Tensor:
    """Which share of a crop's points lies outside of what is read: `[N]` or `[N, K]`."""
    dimensions = record.layer.transform.dimensions
    edge: Any = 1.0
    if record.layer.align_corners:
        # The points -1 and 1 are half a pixel inside.
        extent = tf.cast(tf.shape(record.images)[1:-1][::-1], record.grid.dtype)
        edge = extent / tf.maximum(extent - 1.0, 1.0)
    # What is no number is not inside.
    inside = tf.reduce_all(tf.abs(record.grid) <= edge + _EDGE, axis=-1)
    axes = list(range(inside.shape.rank - dimensions, inside.shape.rank))
    return 1.0 - tf.reduce_mean(tf.cast(inside, tf.float32), axis=axes)


class _Sums:
    """What a transformer did so far."""

    def __init__(self, layer: Any):
        self.layer = layer
        self.last = np.zeros(0)
        self._images = 0
        self._mostly = 0
        self._random = np.random.default_rng(0)
        self._keys = np.zeros(0)
        self._outside: np.ndarray | None = None
        self._thetas: np.ndarray | None = None

    def add(self, images: int, theta: np.ndarray, outside: np.ndarray) -> None:
        # A layer that sees several pictures of an image in one batch has as many crops of it.
        outside = outside.reshape(images, -1).astype(np.float64)
        theta = theta.reshape(*outside.shape, -1)
        if self._thetas is None or self._outside is None:
            self._outside = np.zeros(outside.shape[1])
            self._thetas = np.zeros((0, *theta.shape[1:]), np.float32)
        self.last = outside.mean(axis=1)
        self._images += images
        self._outside += outside.sum(axis=0)
        self._mostly += int((self.last > 0.5).sum())
        keys = np.concatenate([self._keys, self._random.random(images)])
        thetas = np.concatenate([self._thetas, theta])
        # Each image has a number by chance; those with the least are kept, in their order.
        kept = np.sort(np.argsort(keys)[:MOST_THETAS])
        self._keys, self._thetas = keys[kept], thetas[kept]

    def result(self, name: str) -> TransformerSurvey:
        assert self._thetas is not None
        assert self._outside is not None
        return TransformerSurvey(
            name=name,
            transform=self.layer.transform,
            thetas=self._thetas,
            outside=self._outside / max(self._images, 1),
            mostly_outside=self._mostly,
        )


def _call_names(transformers: Sequence[_Sums]) -> list[str]:
    """The names of the layers; of a layer that is called again, with a number."""
    seen: dict[str, int] = {}
    found = []
    for sums in transformers:
        name = sums.layer.name
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found
