"""How often a network is wrong, and on what."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from stn_tf.errors import DataError
from stn_tf.experiments.class_answers import classifies
from stn_tf.experiments.survey import NOTHING, Survey, survey
from stn_tf.recipe import Prepared
from stn_tf.training.validation import measure

if TYPE_CHECKING:
    from stn_tf.experiments.run import Run


@dataclasses.dataclass(frozen=True)
class ClassRow:
    """One class of the per-class table.

    Attributes:
        images: How many images are of this class: so few images stand behind its figures.
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
        error_percent: Of all images.
        confusion: `[K, K]` counts: row the true class, column the predicted one.
        classes: The names of the classes.
        images: How many images there are.
        survey: What else the same pass found.
    """

    error_percent: float
    confusion: np.ndarray
    classes: tuple[str, ...]
    survey: Survey | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def images(self) -> int:
        return int(self.confusion.sum())

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
            "images": self.images,
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "per_class": [dataclasses.asdict(row) for row in self.per_class],
        }


def evaluate(run: "Run", split: str = "test") -> Evaluation:
    """Measures a run on its test images, or those of another part.

    Raises:
        RunError: If the run has no checkpoint.
        DataError: If its data cannot be read, or has no such part, or no classes.
    """
    if not classifies(run.interface):
        raise DataError(
            f"`{run.path}` has no classes to evaluate: its task is {run.interface.task}. Call "
            "`measure_run` for its loss and metrics."
        )
    found = survey_run(run, split)
    assert found.confusion is not None
    return Evaluation(error_percent(found.confusion), found.confusion, run.classes, found)


def measure_run(run: "Run", split: str = "test") -> dict[str, float]:
    """Returns the loss and the metrics of a run of any task on its test images, or another part.

    Raises:
        RunError: If the run has no checkpoint.
        DataError: If its data cannot be read, or has no such part.
    """
    prepared = run.prepared
    return measure(
        run.load_model(), run.dataset(split), loss=prepared.loss, metrics=prepared.metrics
    )


def survey_run(run: "Run", split: str | None = None) -> Survey:
    """Looks at a run's images of a part, in one pass.

    Args:
        run: A run with a checkpoint.
        split: `train`, `validation` or `test`; None for the part that is reported on, of which
            there may be none.

    Raises:
        RunError: If the run has no checkpoint.
        DataError: If its data cannot be read, or has no such part.
    """
    if split is None:
        split = reported_split(run.prepared)
        if run.prepared.parts(split) is None:
            return NOTHING
    return survey(
        run.load_model(),
        run.dataset(split),
        run.interface,
        split=split,
        names=run.prepared.names(split),
    )


def reported_split(prepared: Prepared) -> str:
    """Returns `test`, or `validation` where the data has no test images."""
    return "validation" if prepared.parts("test") is None else "test"


def error_percent(counts: np.ndarray) -> float:
    """Returns the share of the counts that is off the diagonal."""
    total = int(counts.sum())
    return 100.0 * (total - int(np.trace(counts))) / max(total, 1)


def interval_percent(wrong: int, images: int) -> tuple[float, float]:
    """Returns between what the error of ever more such images lies, with 95 % confidence.

    Source: Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953.
    """
    if not images:
        return 0.0, 100.0
    share, square = wrong / images, 1.959964**2
    middle = (share + square / (2 * images)) / (1 + square / images)
    spread = math.sqrt(square * (share * (1 - share) + square / (4 * images)) / images)
    spread /= 1 + square / images
    return 100.0 * max(middle - spread, 0.0), 100.0 * min(middle + spread, 1.0)
