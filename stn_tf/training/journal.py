"""The record of a run by step: `metrics.jsonl` and TensorBoard."""

import contextlib
import json

import numpy as np
import tensorflow as tf

from stn_tf.experiments.run_folder import RunFolder, writing
from stn_tf.experiments.report import write_whole


class Journal:
    """Appends to the metrics of a run.

    Args:
        folder: The run.
        step: Where training goes on: lines of later steps, from a part of the run that is now
            repeated, are removed.
    """

    def __init__(self, folder: RunFolder, step: int):
        self._folder = folder
        with writing(folder.path, "the metrics"):
            if folder.metrics.exists():
                write_whole(folder.metrics, "".join(_lines_until(folder, step)))
            self._file = folder.metrics.open("a", encoding="utf-8")
            self._writer = tf.summary.create_file_writer(str(folder.tensorboard))

    def scalars(self, step: int, **values: float) -> None:
        """Writes one line."""
        with writing(self._folder.path, f"the metrics of step {step}"):
            self._file.write(json.dumps({"step": step, **values}) + "\n")
            self._file.flush()
            with self._writer.as_default(step):
                for name, value in values.items():
                    tf.summary.scalar(name, value)

    def images(self, step: int, **images: np.ndarray) -> None:
        """Shows images `[N, H, W, C]` in 0..1 in TensorBoard."""
        with writing(self._folder.path, f"the images of step {step}"):
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


def _lines_until(folder: RunFolder, step: int) -> list[str]:
    lines = []
    for line in folder.metrics.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] > step or not line.endswith("\n"):
                break
        except (ValueError, KeyError, TypeError):
            break  # The line that was being written when the run was killed.
        lines.append(line)
    return lines
