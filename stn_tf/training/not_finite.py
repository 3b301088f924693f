"""What is kept of a step whose loss or gradients are no numbers."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.errors import RunError
from stn_tf.layers import record_transformations
from stn_tf.training.files import writing

_PARTS = ("x", "y", "weights")


def keep_step(
    out: Path | None,
    step: int,
    batches: Sequence[Any],
    model: keras.Model,
    strategy: tf.distribute.Strategy,
) -> str:
    """Writes the batches of a step and what each transformer did with them.

    Args:
        out: Where `nan-step-N.npz` is written; None to write nothing.
        step: Its number.
        batches: As they were given to the step; of several workers, this one's part.
        model: With the weights that the step began with.
        strategy: Where it ran.

    Returns:
        A text that says where they are and what theta was like.
    """
    arrays: dict[str, np.ndarray] = {}
    said: list[str] = []
    for number, batch in enumerate(_of_replicas(batches, strategy)):
        suffix = f"_{number}" if number else ""
        parts = keras.utils.unpack_x_y_sample_weight(batch)
        for name, part in zip(_PARTS, parts, strict=True):
            arrays |= {f"{key}{suffix}": value for key, value in _flat(name, part).items()}
        for i, (layer, theta, grid) in enumerate(_transformations(model, parts[0]), 1):
            arrays[f"theta_{i}{suffix}"] = theta
            if not number:
                said.append(_theta_text(layer, theta, grid))
    where = ""
    if out is not None:
        path = out / f"nan-step-{step}.npz"
        # The step is the news; that the disk is full as well is not.
        with contextlib.suppress(RunError), writing(out, "the batch"):
            np.savez(path, allow_pickle=False, **arrays)
            own = len(_of_replicas(batches[:1], strategy)) == strategy.num_replicas_in_sync
            part = "Its batch" if own else "This worker's part of its batch"
            where = f"{part} is in `{path}`."
    return " ".join([where, *said]).strip()


def _of_replicas(batches: Sequence[Any], strategy: tf.distribute.Strategy) -> list[Any]:
    """Returns the part of each batch that each device of this worker had."""
    found = []
    for batch in batches:
        leaves = [strategy.experimental_local_results(leaf) for leaf in tf.nest.flatten(batch)]
        for own in zip(*leaves, strict=True):
            found.append(tf.nest.pack_sequence_as(batch, own))
    return found


def _flat(name: str, part: Any) -> dict[str, np.ndarray]:
    if part is None:
        return {}
    if isinstance(part, dict):
        return {f"{name}_{key}": np.asarray(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return {f"{name}_{i}": np.asarray(value) for i, value in enumerate(part)}
    return {name: np.asarray(part)}


def _transformations(model: keras.Model, x: Any) -> list[tuple[str, np.ndarray, np.ndarray]]:
    # A model that cannot compute its inputs at all must not hide the error about them.
    with contextlib.suppress(tf.errors.OpError, ValueError), record_transformations() as records:
        model(x, training=False)
        return [(r.layer.name, r.theta.numpy(), r.grid.numpy()) for r in records]
    return []


def _theta_text(layer: str, theta: np.ndarray, grid: np.ndarray) -> str:
    finite = theta[np.isfinite(theta)]
    extent = f"from {finite.min():.3g} to {finite.max():.3g}" if finite.size else "no numbers"
    broken = f", {theta.size - finite.size} of {theta.size} no numbers" if finite.size else ""
    outside = ~(np.abs(grid) <= 1.0).all(axis=-1)
    return (
        f"Theta of `{layer}` was {extent}{broken}, with {100 * outside.mean():.0f} % of its points "
        "outside the image."
    )
