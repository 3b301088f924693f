"""What a finished run reports."""

import dataclasses
import hashlib
import json
import platform
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import stn_tf
from stn_tf.errors import RunError


@dataclasses.dataclass(frozen=True)
class Report:
    """The outcome of a run, as in its `report.json`.

    Attributes:
        error_percent: Of the test images; None where the task has no classes or the data no test.
        validation_error_percent: Of the validation images, likewise.
        steps: How many were taken.
        seconds: From start to report, over all resumed parts.
        images_per_second: While stepping, without evaluation and checkpoints.
        weights_sha256: Of all weights' bytes, in the network's order: equal runs have equal ones.
        test_images: How many images stand behind `error_percent`.
        chosen_step: The step of the weights that were measured.
        input_wait: The share of the time in which steps waited for data.
        skipped_steps: How many were left out because they were no numbers.
        test: Loss and metrics on the test examples, of tasks without classes.
        device: What computed.
        notes: What was decided, a line each, with the setting that changes it.
    """

    experiment: str
    model: str
    error_percent: float | None
    validation_error_percent: float | None
    steps: int
    seconds: float
    images_per_second: float
    seed: int
    parameters: int
    replicas: int
    weights_sha256: str
    versions: dict[str, str]
    test_images: int | None = None
    chosen_step: int | None = None
    input_wait: float | None = None
    skipped_steps: int = 0
    test: dict[str, float] | None = None
    device: str | None = None
    notes: list[str] = dataclasses.field(default_factory=list)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def read(cls, path: Path) -> "Report":
        """Reads a `report.json`.

        Raises:
            RunError: If it cannot be read as one.
        """
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise RunError(f"`{path}` is not a run's report: {error}") from None


def weights_sha256(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def versions() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "stn_tf": stn_tf.__version__,
    }
