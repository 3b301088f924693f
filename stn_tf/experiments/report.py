"""What a finished run reports."""

import dataclasses
import hashlib
import json
import os
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
        error_percent: Of the test images.
        seconds: From start to report, over all resumed parts.
        images_per_second: While stepping, without evaluation and checkpoints.
        weights_sha256: Of all weights' bytes, in the network's order: equal runs have equal ones.
    """

    experiment: str
    model: str
    error_percent: float
    validation_error_percent: float
    steps: int
    seconds: float
    images_per_second: float
    seed: int
    parameters: int
    replicas: int
    weights_sha256: str
    versions: dict[str, str]

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


def write_whole(path: Path, text: str) -> None:
    """Writes a file so that it is never seen half-written, not even after a crash."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


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
