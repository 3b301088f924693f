"""JSON by simdjson; a body that is one array of numbers is read without an object for each.

What simdjson does not read, or reads otherwise, is left to Python's json, which decides what is
refused.
"""

import math
from typing import Any

import numpy as np
import simdjson

_MAX_RANK = 32
_MAX_FIELDS = 64
# All that a number and the space between values may be made of.
_NOT_STRUCTURE = b"0123456789+-.eE \t\n\r"


def parse(data: bytes) -> dict[str, Any] | None:
    """Returns the values of a JSON object, arrays and objects unread; None leaves it to Python.

    Python's json reads more: NaN, Infinity, huge numbers, lone surrogates. Of equal names it takes
    the last.
    """
    try:
        document = simdjson.Parser().parse(data)
    except (ValueError, RuntimeError):  # The latter of integers of more than 64 bits.
        return None
    return _fields(document)


def plain(value: Any) -> Any:
    """Returns a value of `parse` as Python's json reads it."""
    if isinstance(value, simdjson.Object):
        return value.as_dict()
    return value.as_list() if isinstance(value, simdjson.Array) else value


def read(
    fields: dict[str, Any], data: bytes, name: str, dtype: str
) -> tuple[np.ndarray, bool] | None:
    """Returns the only input of a predict request, and whether it has rows (`instances`).

    Args:
        fields: What `parse` returned.
        data: The body.
        name: The input's name.
        dtype: The input's type.

    Returns:
        None for a request that is not one array of numbers which all fit the type.
    """
    rows = "instances" in fields
    if rows == ("inputs" in fields):
        return None
    value = fields["instances" if rows else "inputs"]
    if not rows and isinstance(value, simdjson.Object):
        value = (_fields(value) or {}).get(name)
    if not isinstance(value, simdjson.Array):
        return None
    array = _numbers(value, dtype)
    shape = _shape(value)
    # A list without numbers looks like one of a number, so that they are counted too.
    if array is None or array.size != math.prod(shape):
        return None
    if _structure(shape) != _between_brackets(data):
        return None
    return array.reshape(shape), rows


def _fields(value: Any) -> dict[str, Any] | None:
    # Each is looked for from the start.
    if not isinstance(value, simdjson.Object) or len(value) > _MAX_FIELDS:
        return None
    try:
        found = {name: value[name] for name in value}
    except KeyError:  # simdjson 7 does not find a name with a NUL.
        return None
    return found if len(found) == len(value) else None


def _numbers(value: simdjson.Array, dtype: str) -> np.ndarray | None:
    """All numbers of nested lists, in order; the largest integers are left to Python."""
    if dtype not in ("float32", "float64") and not dtype.startswith(("int", "uint")):
        return None
    target = np.dtype(dtype)
    try:
        if target.kind == "f":
            wide = np.frombuffer(value.as_buffer(of_type="d"), np.float64)
            largest = (1 << np.finfo(target).nmant + 1) - 1
            limits = -largest, largest
        else:
            wide = np.frombuffer(value.as_buffer(of_type="i"), np.int64)
            limits = np.iinfo(target).min, np.iinfo(target).max
    except (TypeError, ValueError):  # Other values than numbers, or none at all.
        return None
    if not wide.size or wide.min() < limits[0] or wide.max() > limits[1]:
        return None
    return wide.astype(target)


def _shape(value: Any) -> tuple[int, ...]:
    """The shape, if all lists of a level are as long as the first."""
    shape: list[int] = []
    while isinstance(value, simdjson.Array) and len(value) and len(shape) < _MAX_RANK:
        shape.append(len(value))
        value = value[0]
    return tuple(shape)


def _structure(shape: tuple[int, ...]) -> bytes:
    """The brackets and commas of an array of this shape."""
    text = b""
    for length in reversed(shape):
        text = b"[" + b",".join([text] * length) + b"]"
    return text


def _between_brackets(data: bytes) -> bytes:
    """All but numbers and space of a body, from its first bracket to its last.

    It is a structure only if the body has one array: between two there is the quote of a name.
    """
    text = data.translate(None, _NOT_STRUCTURE)
    return text[text.find(b"[") : text.rfind(b"]") + 1]
