"""Initial weights from another training, or from a file."""

import re
import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stn_tf.errors import RunError
from stn_tf.training.checkpoint import read_weights

_COUNTED = re.compile(r"_\d+$")
_SHOWN = 8


def start_from(source: Path, model: keras.Model) -> str:
    """Gives a model the weights of another one, as far as they fit.

    Layers are matched by their names, and by their order among those of a kind where Keras has
    numbered them otherwise. A layer takes all weights, or, if any has another shape, none.

    Args:
        source: A folder of `fit` or its `checkpoints`, a `.keras` or a `.weights.h5` file.
        model: With initial weights.

    Returns:
        A line that says what was taken.

    Raises:
        RunError: If it cannot be read, or no layer fits.
    """
    if not source.exists():
        raise RunError(f"`init` {source} is not there.")
    layers = _layers(model.weights)
    if source.is_dir():
        folder = source / "checkpoints" if (source / "checkpoints").is_dir() else source
        taken = _take(layers, read_weights(folder)[1])
    elif source.name.endswith(".weights.h5"):
        taken = _take_file(source, model, layers)
    else:
        taken = _take(layers, _of_model(source))
    kept = [name for name in layers if name not in taken]
    if not taken:
        raise RunError(
            f"`init` {source} fits no layer of the model, whose first is {next(iter(layers))}. "
            "Give weights of the same kind of model."
        )
    line = f"Weights of {len(taken)} layers are from `{source}`"
    if kept:
        more = f" and {len(kept) - _SHOWN} more" if len(kept) > _SHOWN else ""
        line += f"; others stay as they were: {', '.join(kept[:_SHOWN])}{more}"
    return f"{line} (`init`)."


def _of_model(source: Path) -> list[tuple[str, np.ndarray]]:
    try:
        model = keras.saving.load_model(source, compile=False)
    except (OSError, ValueError, TypeError, ImportError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"`init` {source} cannot be loaded as a Keras model: {reason}") from None
    return [(variable.path, variable.numpy()) for variable in model.weights]


def _layers(variables: Sequence[Any]) -> dict[str, list[Any]]:
    layers = defaultdict(list)
    for variable in variables:
        layers[variable.path.rpartition("/")[0]].append(variable)
    return dict(layers)


def _take(layers: dict[str, list[Any]], values: list[tuple[str, np.ndarray]]) -> set[str]:
    """Assigns the values that fit; returns the names of the layers that took theirs."""
    given: dict[str, list[np.ndarray]] = defaultdict(list)
    for path, value in values:
        given[path.rpartition("/")[0]].append(value)
    source = _matched(list(layers), list(given))
    taken = set()
    for name, variables in layers.items():
        own = given.get(source.get(name, ""), [])
        shapes = [tuple(variable.shape) for variable in variables]
        if shapes == [value.shape for value in own]:
            for variable, value in zip(variables, own, strict=True):
                variable.assign(value)
            taken.add(name)
    return taken


def _matched(names: list[str], others: list[str]) -> dict[str, str]:
    """Returns for each name the other one that is meant."""
    counted = dict(zip(_counted(others), others, strict=True))
    by_place = {
        name: counted[key]
        for name, key in zip(names, _counted(names), strict=True)
        if key in counted
    }
    same = set(names) & set(others)
    # Keras numbers layers through a process: names are then all alike but for these numbers.
    if len(same) * 2 >= min(len(names), len(others)):
        left = set(others) - same
        return {name: name for name in same} | {
            name: other for name, other in by_place.items() if name not in same and other in left
        }
    return by_place


def _counted(names: list[str]) -> list[str]:
    """Returns paths in which numbers say which of the layers of a kind, in one place, it is."""
    numbers: dict[str, dict[str, int]] = defaultdict(dict)
    result = []
    for name in names:
        parts: list[str] = []
        for part in name.split("/"):
            kind = "/".join([*parts, _COUNTED.sub("", part)])
            number = numbers[kind].setdefault(part, len(numbers[kind]))
            parts.append(f"{_COUNTED.sub('', part)}#{number}")
        result.append("/".join(parts))
    return result


def _take_file(source: Path, model: keras.Model, layers: dict[str, list[Any]]) -> set[str]:
    before = [variable.numpy() for variable in model.weights]
    marks = [value + np.asarray(1, value.dtype) for value in before]
    for variable, mark in zip(model.weights, marks, strict=True):
        variable.assign(mark)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # About what does not fit, which is told below.
            model.load_weights(source, skip_mismatch=True)
    except (OSError, ValueError, KeyError) as error:
        for variable, value in zip(model.weights, before, strict=True):
            variable.assign(value)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"`init` {source} cannot be loaded: {reason}") from None
    # What still has its mark was not loaded.
    missing = {
        id(variable)
        for variable, mark in zip(model.weights, marks, strict=True)
        if np.array_equal(variable.numpy(), mark)
    }
    taken = set()
    initial = {id(v): value for v, value in zip(model.weights, before, strict=True)}
    for name, variables in layers.items():
        if any(id(variable) in missing for variable in variables):
            for variable in variables:
                variable.assign(initial[id(variable)])
        else:
            taken.add(name)
    return taken
