"""Single images that are worth a look, chosen while many pass by."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import keras
import numpy as np
import tensorflow as tf

from stn_tf.experiments.views import Picture, picture_images
from stn_tf.interface import ModelInterface

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, eq=False)
class Example:
    """An image that is worth a look.

    Attributes:
        index: Its place in its part of the data, from 0.
        name: What the data calls it, such as its path; None where it does not.
        inputs: As the model takes it, without the batch; None once it is drawn.
        label: The index of its class; None where there are none.
        predicted: Likewise, of the class that it was taken for.
        probability: Of that class, in 0..1.
        outside: Which share of the transformers' points lies outside of what they read.
        picture: The image, and where the transformers look.
    """

    index: int
    name: str | None
    inputs: Any
    label: int | None = None
    predicted: int | None = None
    probability: float | None = None
    outside: float = 0.0
    picture: Picture | None = None


class Highest(Generic[T]):
    """The few items with the highest scores; of equal ones, the first."""

    def __init__(self, most: int):
        self._most = most
        self._kept: list[tuple[float, T]] = []

    def offer(self, scores: np.ndarray, make: Callable[[int], T]) -> None:
        """Takes what belongs in; `make` is called for that alone. Minus infinity never does."""
        for row in np.argsort(-scores, kind="stable")[: self._most]:
            score = float(scores[row])
            full = len(self._kept) == self._most
            if score == -np.inf or (full and score <= self._kept[-1][0]):
                break
            self._kept = [*self._kept[: self._most - 1], (score, make(int(row)))]
            self._kept.sort(key=lambda pair: -pair[0])

    @property
    def items(self) -> tuple[T, ...]:
        return tuple(item for _, item in self._kept)


def example_maker(
    x: Any, before: int, names: Sequence[str] | None, share: np.ndarray
) -> Callable[[int], Example]:
    """Returns what makes an example of a row of a batch.

    Args:
        x: The batch as the model takes it.
        before: How many images came before it.
        names: Of all images.
        share: `[N]`, which share of the transformers' points lies outside.
    """

    def example(row: int) -> Example:
        index = before + row
        return Example(
            index,
            None if names is None or index >= len(names) else names[index],
            # A copy, so that the batch can go.
            tf.nest.map_structure(lambda values: np.array(values[row]), x),
            outside=float(share[row]),
        )

    return example


def with_answer(
    example: Callable[[int], Example],
    labels: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray,
) -> Callable[[int], Example]:
    """Returns what makes an example that knows its class and what it was taken for, `[N]` each."""

    def told(row: int) -> Example:
        return dataclasses.replace(
            example(row),
            label=int(labels[row]),
            predicted=int(predicted[row]),
            probability=float(probabilities[row]),
        )

    return told


def drawn(
    model: keras.Model, examples: Sequence[Example], interface: ModelInterface
) -> list[Example]:
    """Returns examples with their pictures, in the place of what the model takes."""
    by_shape: dict[str, list[int]] = {}
    for number, example in enumerate(examples):
        shape = str(tf.nest.map_structure(np.shape, example.inputs))
        by_shape.setdefault(shape, []).append(number)
    pictures: dict[int, Picture] = {}
    for numbers in by_shape.values():
        several = [examples[number].inputs for number in numbers]
        batch = tf.nest.map_structure(lambda *values: np.stack(values), *several)
        pictures |= zip(numbers, picture_images(model, batch, interface), strict=True)
    return [
        dataclasses.replace(example, inputs=None, picture=pictures[number])
        for number, example in enumerate(examples)
    ]
