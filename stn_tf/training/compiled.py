"""What a Keras model brings along for its training: what it was compiled with, or overrides."""

import dataclasses
from typing import Any

import keras

from stn_tf.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Compiled:
    """Loss and metrics, in the forms that `model.compile` takes."""

    loss: Any
    loss_weights: Any
    metrics: Any
    weighted_metrics: Any


def compiled_with(model: keras.Model) -> Compiled:
    """Returns what a model was compiled with.

    Raises:
        ConfigError: If it was not.
    """
    if not model.compiled:
        raise ConfigError(
            "`loss` is None, and the model was not compiled with one. Give `fit` a loss, or "
            "compile the model: without a loss, if it adds its own."
        )
    # Keras has these as they were given only here; its public `get_compile_config` serialises them.
    given = model._compile_config.config
    return Compiled(
        given.get("loss"),
        given.get("loss_weights"),
        given.get("metrics") or (),
        given.get("weighted_metrics") or (),
    )


def check_steps(model: keras.Model) -> None:
    """Raises ConfigError if a model wants steps of its own, which `fit` does not take."""
    for name in ("train_step", "compute_loss"):
        if getattr(type(model), name) is not getattr(keras.Model, name):
            raise ConfigError(
                f"`model` has `{name}` of its own, which `fit` would not call. Give `loss` "
                "instead, or have layers add losses with `add_loss`."
            )
