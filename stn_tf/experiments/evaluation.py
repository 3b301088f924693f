"""How often a network is wrong, and on what."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.sampling.choice import preferred_sampler
from stn_tf.experiments.run import Run


@dataclasses.dataclass(frozen=True)
class ClassRow:
    """One class of the per-class table.

    Attributes:
        images: How many images are of this class.
        error_percent: How many of these were taken for another; 0 if there are none.
        precision_percent: How many of those taken for this class are; 0 if there are none.
        taken_for: The class for which it was taken most often by mistake, if any.
    """

    name: str
    images: int
    error_percent: float
    precision_percent: float
    taken_for: str | None


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The errors of a network on a set of images.

    Attributes:
        confusion: `[K, K]` counts: row the true class, column the predicted one.
    """

    error_percent: float
    confusion: np.ndarray
    classes: tuple[str, ...]

    @property
    def per_class(self) -> list[ClassRow]:
        rows = []
        for index, name in enumerate(self.classes):
            row, column = self.confusion[index], self.confusion[:, index]
            mistakes = row.copy()
            mistakes[index] = 0
            rows.append(
                ClassRow(
                    name,
                    int(row.sum()),
                    100.0 * int(mistakes.sum()) / max(int(row.sum()), 1),
                    100.0 * int(row[index]) / max(int(column.sum()), 1),
                    self.classes[int(mistakes.argmax())] if mistakes.any() else None,
                )
            )
        return rows

    def to_dict(self) -> dict[str, Any]:
        return {
            "error_percent": self.error_percent,
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "per_class": [dataclasses.asdict(row) for row in self.per_class],
        }


def evaluate(run: Run) -> Evaluation:
    """Measures a run on its test images.

    Raises:
        RunError: If the run has no checkpoint.
        DataError: If its data cannot be read.
    """
    counts = confusion(predictor(run.load_model()), run.dataset("test"), len(run.classes))
    return Evaluation(error_percent(counts), counts, run.classes)


def predictor(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the model as a function of batches of any size, traced once."""
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]

    def predict(images: tf.Tensor) -> tf.Tensor:
        with preferred_sampler():
            return model(images, training=False)

    return tf.function(predict, input_signature=signature)


def confusion(
    predict: Callable[[tf.Tensor], tf.Tensor], dataset: tf.data.Dataset, classes: int
) -> np.ndarray:
    """Returns `[classes, classes]` counts: row the true class, column the predicted one."""
    counts = np.zeros((classes, classes), np.int64)
    for images, labels in dataset:
        predicted = np.argmax(predict(images).numpy(), axis=-1)
        np.add.at(counts, (labels.numpy(), predicted), 1)
    return counts


def error_percent(counts: np.ndarray) -> float:
    """Returns the share of the counts that is off the diagonal."""
    total = int(counts.sum())
    return 100.0 * (total - int(np.trace(counts))) / max(total, 1)
