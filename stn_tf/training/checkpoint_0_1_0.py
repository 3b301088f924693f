"""Checkpoints as stn-tf 0.1.0 wrote them: flat files, named by TensorFlow's object graph."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from stn_tf.errors import RunError

_UNREADABLE = (tf.errors.OpError, ValueError, LookupError, RuntimeError, AssertionError)


def restore(
    directory: Path,
    model: Any,
    optimizer: Sequence[Any],
    notify: Callable[[str], None],
) -> dict[str, Any] | None:
    """Restores the latest readable checkpoint; returns its state, or None if there is none.

    Raises:
        RunError: If there are some and none can be read.
    """
    paths = _paths(directory)
    numbers = {
        "step": tf.Variable(0, dtype=tf.int64),
        "seconds": tf.Variable(0.0, dtype=tf.float64),
        "timed_seconds": tf.Variable(0.0, dtype=tf.float64),
        "timed_steps": tf.Variable(0, dtype=tf.int64),
    }
    checkpoint = tf.train.Checkpoint(
        model=model,
        optimizer=[getattr(v, "value", v) for v in optimizer],
        **numbers,
    )
    for path in reversed(paths):
        try:
            checkpoint.restore(path).assert_existing_objects_matched()
        except _UNREADABLE as error:
            reason = str(error).splitlines()[0]
            notify(f"Skipping the checkpoint `{path}`, which cannot be read: {reason}")
            continue
        step = int(numbers["step"])
        return {"step": step, "batches": step, "seconds": float(numbers["seconds"])}
    if paths:
        raise RunError(f"None of the checkpoints in `{directory}` can be read.")
    return None


def load_weights(directory: Path, model: Any) -> int | None:
    """Gives a model the latest weights; returns their step, or None if there are none.

    Raises:
        RunError: If they cannot be read.
    """
    paths = _paths(directory)
    if not paths:
        return None
    path = paths[-1]
    try:
        status = tf.train.Checkpoint(model=model).restore(path)
        status.assert_existing_objects_matched().expect_partial()
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"The checkpoint `{path}` cannot be read: {reason}") from None
    return int(path.rpartition("-")[2])


def _paths(directory: Path) -> list[str]:
    state: Any = tf.train.get_checkpoint_state(str(directory)) if directory.is_dir() else None
    return list(state.all_model_checkpoint_paths) if state else []
