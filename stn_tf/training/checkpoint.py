"""Checkpoints of a run: all that is needed to go on as if nothing had happened."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from stn_tf.errors import RunError
from stn_tf.experiments.run_folder import writing

KEEP = 3
_PREFIX = "step"
# What TensorFlow raises for files that are cut off, damaged, or of another network.
_UNREADABLE = (tf.errors.OpError, ValueError, LookupError, RuntimeError, AssertionError)


class Checkpoints:
    """The latest few checkpoints of a run.

    Every worker must save, but only the chief's files are kept: the others write to a folder of
    their own that `close` removes.

    Attributes:
        step: The step of the weights.
        seconds: How long the run has taken so far.
        timed_seconds: The part of it spent in steps whose speed was measured.
        timed_steps: How many steps those were.
    """

    def __init__(
        self,
        directory: Path,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        is_chief: bool = True,
    ):
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.timed_seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
        self.timed_steps = tf.Variable(0, dtype=tf.int64, trainable=False)
        # Keras tracks the variables of a wrapped optimizer only in part, so they are listed.
        variables = [getattr(v, "value", v) for v in optimizer.variables]
        self._checkpoint = tf.train.Checkpoint(
            model=model,
            optimizer=variables,
            step=self.step,
            seconds=self.seconds,
            timed_seconds=self.timed_seconds,
            timed_steps=self.timed_steps,
        )
        self._directory = directory
        self._aside = None if is_chief else tempfile.mkdtemp(prefix="stn-tf-worker-")
        if is_chief:
            _remove_unfinished(directory)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, self._aside or str(directory), KEEP, checkpoint_name=_PREFIX
        )
        self._saved = -1

    def restore(self, notify: Callable[[str], None] = lambda text: None) -> int:
        """Restores the latest readable checkpoint, if there is one; returns its step.

        Raises:
            RunError: If there are checkpoints and none can be read.
        """
        state = tf.train.get_checkpoint_state(str(self._directory))
        paths = list(state.all_model_checkpoint_paths) if state else []
        for path in reversed(paths):
            try:
                self._checkpoint.restore(path).assert_existing_objects_matched()
            except _UNREADABLE as error:
                reason = str(error).splitlines()[0]
                notify(f"Skipping the checkpoint `{path}`, which cannot be read: {reason}")
                continue
            self._saved = int(self.step)
            return self._saved
        if paths:
            raise RunError(f"None of the checkpoints in `{self._directory}` can be read.")
        return 0

    def save(self, step: int) -> None:
        """Writes a checkpoint, unless that of this step is there.

        Raises:
            RunError: If it cannot be written. Earlier ones are as they were.
        """
        if step == self._saved:
            return
        self.step.assign(step)
        before = f" from step {self._saved}" if self._saved > 0 else ""
        try:
            with writing(
                Path(self._aside or self._directory),
                f"the checkpoint of step {step}",
                f"Free some space there, then continue{before} with --resume.",
            ):
                self._manager.save(checkpoint_number=step)
        except RunError:
            _remove_unfinished(self._directory)
            raise
        self._saved = step

    def close(self) -> None:
        if self._aside is not None:
            shutil.rmtree(self._aside, ignore_errors=True)


def load_weights(directory: Path, model: keras.Model) -> int:
    """Restores only the model from the latest checkpoint; returns its step.

    Raises:
        RunError: If there is none, or it cannot be read.
    """
    path = tf.train.latest_checkpoint(str(directory))
    if path is None:
        raise RunError(f"`{directory}` holds no checkpoint yet. Continue training with --resume.")
    try:
        status = tf.train.Checkpoint(model=model).restore(path)
        status.assert_existing_objects_matched().expect_partial()
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"The checkpoint `{path}` cannot be read: {reason}") from None
    return int(path.rpartition("-")[2])


def _remove_unfinished(directory: Path) -> None:
    """Removes files of a checkpoint whose writing did not end, which nothing else would remove."""
    state: Any = tf.train.get_checkpoint_state(str(directory)) if directory.is_dir() else None
    kept = {Path(p).name for p in state.all_model_checkpoint_paths} if state else set()
    for path in directory.glob(f"{_PREFIX}-*"):
        if path.name.split(".")[0].removesuffix("_temp") not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
