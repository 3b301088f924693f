"""Which class a model says an image is of, and how surely."""

from collections.abc import Callable

import keras
import numpy as np

from stn_tf.errors import DataError
from stn_tf.experiments.own_model import ends_in_probabilities
from stn_tf.interface import ModelInterface


def classifies(interface: ModelInterface) -> bool:
    """Whether a model says which one of the named classes an image is of, by its only output."""
    return (
        bool(interface.class_names)
        and interface.task in ("classification", "binary")
        and len(interface.own_outputs) == 1
    )


def class_probabilities(
    model: keras.Model, interface: ModelInterface
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns what turns a classifier's outputs into `[N, K]` float64."""
    meanings = {spec.name: spec.meaning for spec in interface.outputs}
    meaning = meanings.get(interface.own_outputs[0]) if interface.own_outputs else "raw"
    already = meaning == "probabilities" or (meaning == "raw" and ends_in_probabilities(model))

    def probabilities(outputs: np.ndarray) -> np.ndarray:
        values = outputs.astype(np.float64)
        if values.shape[-1] == 1:  # Of the second of two classes.
            second = values if already else 1.0 / (1.0 + np.exp(-np.clip(values, -700, 700)))
            return np.concatenate([1.0 - second, second], axis=-1)
        if already:
            return values
        powers = np.exp(values - values.max(axis=-1, keepdims=True))
        shares: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
        return shares

    return probabilities


def check_labels(labels: np.ndarray, classes: int, split: str) -> None:
    """Raises DataError if a label is of no class."""
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(
            f"Labels of {split} must be in 0..{classes - 1}, one for each of the {classes} "
            f"classes, but they go from {labels.min()} to {labels.max()}."
        )
