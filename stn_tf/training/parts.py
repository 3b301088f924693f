"""The parts of a model, by the names of their layers: what has its own rate, is frozen, decays.

layers_of         every layer in a model, at any depth
named_layers      those of some names
rate_factors      of each weight, the factor of its learning rate
decays            whether weight decay is for a weight
moving_statistics what changes without gradients
unsynchronised    what normalises by the batch of a replica
Freeze            a context in which some layers keep their weights
"""

import difflib
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import keras

from stn_tf.errors import ConfigError
from stn_tf.layers import SpatialTransformer, spatial_transformers

_SHOWN = 20


def layers_of(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns every layer in a model, at any depth, each once; outer ones come first."""
    # Keras has no public walk over layers inside layers.
    return list(model._flatten_layers(include_self=False, recursive=True))


def named_layers(
    model: keras.Model, names: Iterable[str], setting: str
) -> dict[str, list[keras.layers.Layer]]:
    """Returns the layers of some names, wherever they are nested.

    Raises:
        ConfigError: If there is no layer of a name.
    """
    found: dict[str, list[keras.layers.Layer]] = {}
    for layer in layers_of(model):
        found.setdefault(layer.name, []).append(layer)
    for name in names:
        if name not in found:
            known = [n for n, layers in found.items() if any(layer.weights for layer in layers)]
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
            raise ConfigError(
                f"`{setting}` must name layers of the model, but none is called {name!r}.{hint} "
                f"Those with weights: {', '.join(known[:_SHOWN])}{more}."
            )
    return {name: found[name] for name in names}


def rate_factors(
    model: keras.Model, localisation_rate: float, rates: Mapping[str, float]
) -> list[float]:
    """Returns the factor of the learning rate of each of `model.trainable_variables`.

    Where several apply they multiply. Weights that localisation shares with the rest of the model,
    such as those of a backbone, are no part of localisation here.

    Raises:
        ConfigError: If a name of `rates` is no layer's.
    """
    factors = {id(variable): 1.0 for variable in model.trainable_variables}
    if localisation_rate != 1.0:
        slow = {
            id(variable)
            for transformer in spatial_transformers(model)
            for variable in transformer.localisation_variables
        }
        for key in slow - _outside_of_localisation(model):
            factors[key] *= localisation_rate
    for name, layers in named_layers(model, rates, "rates").items():
        for key in {id(variable) for layer in layers for variable in layer.trainable_variables}:
            factors[key] *= rates[name]
    return [factors[id(variable)] for variable in model.trainable_variables]


def _outside_of_localisation(model: keras.Model) -> set[int]:
    """Returns the ids of the weights that are reached without going through a localisation."""
    seen: set[int] = set()
    keys: set[int] = set()
    waiting: list[Any] = [model]
    while waiting:
        layer = waiting.pop()
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if isinstance(layer, SpatialTransformer):
            continue
        waiting += list(layer._layers)
        keys |= {id(variable) for variable in _own_weights(layer)}
    return keys


def moving_statistics(model: keras.Model) -> list[Any]:
    """Returns the weights that training changes without gradients, such as moving means."""
    layers = [model, *layers_of(model)]
    found = [v for layer in layers if layer.trainable for v in _own_weights(layer)]
    return list({id(v): v for v in found if not v.trainable and "float" in v.dtype}.values())


def unsynchronised(model: keras.Model) -> list[str]:
    """Returns the names of the layers that normalise by the batch of their own replica."""
    return [
        layer.name
        for layer in layers_of(model)
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.trainable
        and not layer.synchronized
    ]


def _own_weights(layer: keras.layers.Layer) -> list[Any]:
    below = {id(variable) for inner in layer._layers for variable in inner.weights}
    return [variable for variable in layer.weights if id(variable) not in below]


def decays(variable: Any) -> bool:
    """Whether weight decay is for a weight: not for biases, and not for what normalises."""
    # Scales and offsets of every normalisation have one dimension, or these names.
    name = str(variable.name).rpartition("/")[2]
    return len(variable.shape) > 1 and name not in ("bias", "beta", "gamma", "scale", "offset")


class Freeze:
    """A context in which the layers of some names keep all their weights.

    They are as with Keras's `layer.trainable = False`: nothing of them learns, and batch
    normalisation in them uses its moving statistics and leaves them as they are.

    Raises:
        ConfigError: If there is no layer of a name.
    """

    def __init__(self, model: keras.Model, names: Iterable[str]):
        named = named_layers(model, names, "frozen")
        self._tops = [layer for layers in named.values() for layer in layers]
        self._before: list[tuple[Any, bool]] = []

    def __enter__(self) -> "Freeze":
        for top in self._tops:
            inner = list(top._flatten_layers(include_self=True, recursive=True))
            self._before += [(layer, layer.trainable) for layer in inner]
        for top in self._tops:
            top.trainable = False
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Setting an outer layer sets all in it, so that outer ones come first.
        for layer, trainable in self._before:
            layer.trainable = trainable
        self._before.clear()
