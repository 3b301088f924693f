"""JSON values to arrays: nested lists, `{"b64": ...}` objects, NaN and Infinity."""

import base64
import binascii
import json
from itertools import chain
from typing import Any

import numpy as np

from stn_tf.serving.protocol.signature import TensorSpec
from stn_tf.serving.protocol.status import Status, invalid

MAX_RANK = 32
# What TensorFlow calls the types that it writes differently; the first three are not in JSON.
_TENSORFLOW_NAMES = {"float16": "half", "float32": "float", "float64": "double"}
_JSON_TYPES = {
    bool: "Bool",
    int: "Number",
    float: "Number",
    str: "String",
    dict: "Object",
    list: "Array",
    type(None): "Null",
}
# Types that TensorFlow Serving neither reads nor writes in JSON.
UNWRITTEN = ("float16", "bfloat16", "complex64", "complex128")


def is_base64(value: Any) -> bool:
    """Says whether a JSON value is `{"b64": "..."}`."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def decode_base64(value: dict[str, str]) -> bytes:
    """Returns the bytes of `{"b64": "..."}`, whose padding may be left out."""
    text = value["b64"]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def to_array(value: Any, spec: TensorSpec) -> np.ndarray:
    """Returns the array of a scalar or of lists of lists, in the type of an input.

    Raises:
        Status: INVALID_ARGUMENT for ragged lists and values of another type; UNIMPLEMENTED for
            types that JSON does not carry.
    """
    leaves, shape = _flatten(value)
    return _leaves_to_array(leaves, spec.dtype).reshape(shape)


def _flatten(value: Any) -> tuple[list, tuple[int, ...]]:
    shape: list[int] = []
    level = [value]
    while level and type(level[0]) is list:
        size = len(level[0])
        for item in level:
            if type(item) is not list:
                raise invalid(_misplaced(item, len(shape), len(shape) + 1))
            if len(item) != size:
                raise invalid(
                    f"Encountered list at unexpected size: {len(item)} at level: {len(shape)} "
                    f"expected size: {size}"
                )
        if len(shape) == MAX_RANK:
            raise invalid(f"Lists are nested more than {MAX_RANK} deep.")
        shape.append(size)
        level = list(chain.from_iterable(level))
    if list in set(map(type, level)):
        raise invalid(f"Encountered list at unexpected level: {len(shape)} expected < {len(shape)}")
    return level, tuple(shape)


def _misplaced(value: Any, level: int, expected: int) -> str:
    return (
        f"JSON Value: {_shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
        f"Expected at level: {expected}"
    )


def _leaves_to_array(leaves: list, dtype: str) -> np.ndarray:
    types = set(map(type, leaves))
    if dtype == "string":
        strings = np.empty(len(leaves), object)
        strings[:] = [_bytes(leaf) for leaf in leaves]
        return strings
    target = np.dtype(dtype) if dtype not in UNWRITTEN else None
    if target is None or target.kind not in "fiub":
        shown = _shown(leaves[0]) if leaves else "[]"
        raise Status("UNIMPLEMENTED", f"Conversion of JSON Value: {shown} to type: {called(dtype)}")
    allowed: set[type] = {int}
    if target.kind in "fb":
        allowed = {int, float} if target.kind == "f" else {bool}
    if not types <= allowed:
        raise _wrong_type(next(leaf for leaf in leaves if type(leaf) not in allowed), dtype)
    if target.kind == "f":
        return _floats(leaves, target, int in types)
    if target.kind != "b" and leaves:
        limits = np.iinfo(target)
        for leaf in (min(leaves), max(leaves)):
            if not limits.min <= leaf <= limits.max:
                raise _wrong_type(leaf, dtype)
    return np.array(leaves, target)


def _floats(leaves: list, target: np.dtype, whole: bool) -> np.ndarray:
    if whole:  # Integers must be exact.
        largest = (1 << np.finfo(target).nmant + 1) - 1
        for leaf in leaves:
            if type(leaf) is int and abs(leaf) > largest:
                raise _lossy(leaf, target)
    wide = np.array(leaves, np.float64)
    if target == np.float64:
        return wide
    with np.errstate(over="ignore"):
        narrow = wide.astype(target)
    lost = np.isinf(narrow) & np.isfinite(wide)
    if lost.any():
        raise _lossy(float(wide[lost][0]), target)
    return narrow


def _bytes(leaf: Any) -> bytes:
    if isinstance(leaf, str):
        try:
            return leaf.encode()
        except UnicodeEncodeError:
            raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None
    if is_base64(leaf):
        return decode_base64(leaf)
    if isinstance(leaf, dict):
        raise invalid(
            f"JSON Value: {_shown(leaf)} not formatted correctly for base64 data. "
            'Expecting {"b64": "..."}.'
        )
    raise _wrong_type(leaf, "string")


def _wrong_type(value: Any, dtype: str) -> Status:
    kind = _JSON_TYPES[type(value)]
    return invalid(
        f"JSON Value: {_shown(value)} Type: {kind} is not of expected type: {called(dtype)}"
    )


def _lossy(value: float, target: np.dtype) -> Status:
    return invalid(
        f"Cannot convert JSON value: {_shown(value)} to {called(target)} without loss of precision."
    )


def called(dtype: Any) -> str:
    """Returns TensorFlow's name of a type."""
    name = str(dtype)
    return _TENSORFLOW_NAMES.get(name, name)


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) > 1 << 64:
        return "(a large integer)"
    text = json.dumps(value) if not isinstance(value, list | dict) or len(value) < 9 else "(...)"
    return text if len(text) < 100 else text[:100] + "..."
