"""What can be exported: a Keras model, a run, a `.keras` file, a SavedModel, a function."""

from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from stn_tf.errors import ModelError
from stn_tf.export.source.declaration import Declaration
from stn_tf.export.source.function_network import DEFAULT, inspect_function, load_saved_network
from stn_tf.export.source.keras_network import inspect
from stn_tf.export.source.network import Network

Source: TypeAlias = "keras.Model | Network | str | PathLike[str] | Any"


def load_network(source: Source, *, signature: str = DEFAULT, **declared: Any) -> Network:
    """Returns what is to be exported, from wherever it is.

    Args:
        source: A Keras model, a `.keras` file, a SavedModel folder, a run folder, a `tf.function`,
            a concrete function, or a `tf.Module` whose `__call__` is one.
        signature: Of a SavedModel, the signature to export.
        **declared: What cannot be seen in it: the fields of
            `stn_tf.export.source.declaration.Declaration`, such as `task`, `classes`,
            `input_range`, `input_shape`. A run has its own, and needs only what it leaves open.

    Raises:
        ModelError: If it is none of them, or cannot be loaded.
        RunError: If it is a run folder that cannot be used.
        ExportError: If the model cannot be exported, or what was declared does not fit.
    """
    if isinstance(source, Network):
        return source
    declaration = Declaration(**declared)
    if isinstance(source, keras.Model):
        return inspect(source, declaration)
    if isinstance(source, tf.Module) and not isinstance(source, keras.Layer):
        source = source.__call__
    if _is_function(source):
        return inspect_function(source, declaration)
    if not isinstance(source, str | PathLike):
        raise ModelError(
            "The model must be a Keras model, a tf.function, or the path of a run, a .keras file "
            f"or a SavedModel, but it is a {type(source).__name__}."
        )
    path = Path(source)
    if _is_saved_model(path):
        return load_saved_network(path, signature, declaration)
    if path.is_file():
        return inspect(_load_keras(path), declaration)
    from stn_tf.experiments import Run

    run = Run(path)
    return inspect(run.load_model(), declaration.agreeing_with(Declaration.of(run.interface)))


def is_run(source: Any) -> bool:
    """Whether a source is a run folder, as far as can be told without opening it."""
    if not isinstance(source, str | PathLike):
        return False
    path = Path(source)
    return not (path.is_file() or _is_saved_model(path))


def _is_function(source: Any) -> bool:
    return isinstance(
        source, tf.types.experimental.ConcreteFunction | tf.types.experimental.PolymorphicFunction
    )


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
