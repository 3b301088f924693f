"""The record of training by step: `metrics.jsonl` and TensorBoard."""

import contextlib
import json
from pathlib import Path

import numpy as np
import tensorflow as tf

from stn_tf.training.files import write_whole, writing


class Journal:
    """Appends to the metrics in a folder.

    Args:
        folder: Where `metrics.jsonl` and `tensorboard/` are; it is made if need be.
        step: Where training goes on: lines of later steps, from a part of the run that is now
            repeated, are removed.

    Raises:
        RunError: If it cannot be written, here and in what follows.
    """

    def __init__(self, folder: Path, step: int):
        self._folder = folder
        metrics = folder / "metrics.jsonl"
        with writing(folder, "the metrics"):
            folder.mkdir(parents=True, exist_ok=True)
            if metrics.exists():
                write_whole(metrics, "".join(_lines_until(metrics, step)))
            self._file = metrics.open("a", encoding="utf-8")
            self._writer = tf.summary.create_file_writer(str(folder / "tensorboard"))

    def scalars(self, step: int, **values: float) -> None:
        """Writes one line."""
        with writing(self._folder, f"the metrics of step {step}"):
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
            with self._writer.as_default(step):
                for name, value in values.items():
                    tf.summary.scalar(name, value)

    def images(self, step: int, **images: np.ndarray) -> None:
        """Shows images `[N, H, W, C]` in 0..1 in TensorBoard."""
        with writing(self._folder, f"the images of step {step}"):
            with self._writer.as_default(step):
                for name, batch in images.items():
                    pictures = np.clip(batch.astype(np.float32), 0.0, 1.0)
                    tf.summary.image(name, pictures, max_outputs=len(pictures))
            self._writer.flush()

    def close(self) -> None:
        # Every line has been flushed. If that failed, closing fails again, and would hide why.
        with contextlib.suppress(OSError, tf.errors.OpError):
            self._file.close()
        with contextlib.suppress(OSError, tf.errors.OpError):
            self._writer.close()


def _lines_until(metrics: Path, step: int) -> list[str]:
    lines = []
    for line in metrics.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] > step or not line.endswith("\n"):
                break
        except (ValueError, KeyError, TypeError):
            break  # The line that was being written when the run was killed.
        lines.append(line)
    return lines
