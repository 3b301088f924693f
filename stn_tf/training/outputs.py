"""Which labels, losses and metrics belong to which output of a model."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from stn_tf.errors import ConfigError


def named_outputs(model: keras.Model, predicted: Any) -> dict[str, Any]:
    """Returns what a model gave, by the names of its outputs."""
    if isinstance(predicted, Mapping):
        return dict(predicted)
    if isinstance(predicted, list | tuple):
        names = getattr(model, "output_names", None) or []
        if len(names) != len(predicted) or len(set(names)) < len(names):
            names = [f"output_{i}" for i in range(len(predicted))]
        return dict(zip(names, predicted, strict=True))
    names = getattr(model, "output_names", None) or []
    if not names and isinstance(model, keras.Sequential):
        names = [model.layers[-1].name]
    return {names[0] if names else "output": predicted}


def by_output(given: Any, names: Sequence[str], setting: str) -> dict[str, Any]:
    """Returns what was given for each output, without those for which it is None.

    Raises:
        ConfigError: If it names an output that the model does not have.
    """
    if isinstance(given, Mapping):
        for name in given:
            if name not in names:
                raise ConfigError(
                    f"`{setting}` has {name!r}, which is no output of the model: "
                    f"{', '.join(names)}."
                )
        found = dict(given)
    elif isinstance(given, list | tuple):
        if len(given) != len(names):
            raise ConfigError(
                f"`{setting}` must have one for each output ({', '.join(names)}), but it has "
                f"{len(given)}."
            )
        found = dict(zip(names, given, strict=True))
    else:
        found = dict.fromkeys(names, given)
    return {name: found[name] for name in names if found.get(name) is not None}


def match_labels(
    labels: Any, names: Sequence[str], wanted: Sequence[str], *, spread: bool = False
) -> dict[str, Any]:
    """Returns labels by the names of the outputs that they are for.

    Args:
        labels: A tensor, or a mapping or sequence by output; None for none.
        names: Of all outputs.
        wanted: Of those with a loss.
        spread: Whether one tensor is for all outputs, as sample weights are.

    Raises:
        ConfigError: If it cannot be told which labels are for which output.
    """
    if labels is None:
        return {}
    if isinstance(labels, Mapping):
        for name in labels:
            if name not in names:
                raise ConfigError(
                    f"The labels have {name!r}, which is no output of the model: "
                    f"{', '.join(names)}."
                )
        return dict(labels)
    if isinstance(labels, list | tuple):
        for targets in (names, wanted):
            if len(labels) == len(targets):
                return dict(zip(targets, labels, strict=True))
    elif len(names) == 1 or spread:
        return dict.fromkeys(names, labels)
    elif len(wanted) == 1:
        return {wanted[0]: labels}
    raise ConfigError(
        f"The labels must be a mapping or a sequence for the outputs {', '.join(names)}, or `loss` "
        "a mapping that has one of them."
    )
