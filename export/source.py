"""What can be exported: a Keras model, a run, a `.keras` file, a SavedModel."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import keras

from stn_tf.errors import ModelError
from stn_tf.export.keras_network import inspect
from stn_tf.export.network import Network
from stn_tf.export.saved_network import load_saved_network

Source: TypeAlias = keras.Model | Network | str | PathLike[str]


def load_network(
    source: Source,
    *,
    input_shape: Sequence[int] | None = None,
    signature: str = "serving_default",
) -> Network:
    """Returns what is to be exported, from wherever it is.

    Args:
        source: A Keras model, a `.keras` file, a SavedModel folder, or a run folder.
        input_shape: The shape of one image; needed if a Keras model does not know it.
        signature: Of a SavedModel, the signature to export.

    Raises:
        ModelError: If it is none of them, or cannot be loaded.
        RunError: If it is a run folder that cannot be used.
        ExportError: If the model's inputs have unknown shapes.
    """
    if isinstance(source, Network):
        return source
    if isinstance(source, keras.Model):
        return inspect(source, input_shape)
    path = Path(source)
    if _is_saved_model(path):
        return load_saved_network(path, signature)
    if path.is_file():
        return inspect(_load_keras(path), input_shape)
    from stn_tf.training import Run

    run = Run(path)
    return inspect(run.load_model(), run.input_shape)


def is_run(source: Any) -> bool:
    """Whether a source is a run folder, as far as can be told without opening it."""
    if isinstance(source, keras.Model | Network):
        return False
    path = Path(source)
    return not (path.is_file() or _is_saved_model(path))


def _is_saved_model(path: Path) -> bool:
    return any((path / f"saved_model.{end}").exists() for end in ("pb", "pbtxt"))


def _load_keras(path: Path) -> keras.Model:
    # The layers of stn_tf register themselves with Keras.
    import stn_tf.layers  # noqa: F401

    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever the file makes it do.
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"`{path}` is no Keras model that loads: {reason}. Give a file that model.save() "
            "wrote, and import the code of its own layers before."
        ) from error
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"`{path}` must hold a keras.Model, but it holds a {type(model).__name__}. "
            "Wrap it in a keras.Model and save that."
        )
    return model
