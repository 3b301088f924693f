"""Functions of the user's own, named `package.module:function` in settings."""

import importlib
import inspect
import os
import sys
from typing import Any

from stn_tf.errors import ConfigError


def is_hook(text: str) -> bool:
    """Whether a setting names a function rather than something of ours."""
    return ":" in text


def call_hook(setting: str, text: str, **offered: Any) -> Any:
    """Calls a function of the user's with those of `offered` that it has parameters for.

    The current folder is looked into first, as `python -m` does.

    Args:
        setting: Which one names it, for errors.
        text: `package.module:function`.
        **offered: Arguments that it may take by name.

    Raises:
        ConfigError: If there is no such function, or it wants arguments that are not offered.
    """
    module_name, _, name = text.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        function = importlib.import_module(module_name)
        for part in name.split("."):
            function = getattr(function, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"`{setting}` must be package.module:function, importable from here, but {text!r} "
            f"cannot be loaded: {error}."
        ) from error
    if not callable(function):
        raise ConfigError(f"`{setting}` must name a function, but {text} is {function!r}.")
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return function(**offered)
    missing = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind is not p.VAR_POSITIONAL and p.name not in offered
    ]
    if missing:
        raise ConfigError(
            f"`{setting}` {text} wants the arguments {', '.join(missing)}, but may only have "
            f"{', '.join(offered)}. Give the others defaults."
        )
    return function(**{p.name: offered[p.name] for p in parameters if p.name in offered})
