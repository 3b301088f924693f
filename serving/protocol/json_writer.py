"""Answers and requests as JSON: arrays, `{"b64": ...}` objects, NaN and Infinity."""

import base64
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
import orjson

from stn_tf.serving.protocol.nested_lists import UNWRITTEN, called
from stn_tf.serving.protocol.status import Status
from stn_tf.serving.protocol.tensors import array_dtype


def write(value: Any, *, indent: bool = False) -> bytes:
    """Returns JSON of lists, dicts, text, numbers, and of what the functions below return."""
    choices = orjson.OPT_SERIALIZE_NUMPY | (orjson.OPT_INDENT_2 if indent else 0)
    return orjson.dumps(value, option=choices)


def tensor(name: str, array: np.ndarray) -> Any:
    """Returns what `write` writes as a tensor: an array, or what stands for one.

    Strings of an output whose name ends in `_bytes`, and those that are not UTF-8, become
    `{"b64": ...}`. A float32 becomes the shortest number that reads back as the same float32;
    numbers that JSON lacks become `NaN`, `Infinity` and `-Infinity`, as TensorFlow Serving's.

    Raises:
        Status: UNIMPLEMENTED for types that TensorFlow Serving does not write either.
    """
    dtype = array_dtype(array)
    if dtype in UNWRITTEN:
        raise Status(
            "UNIMPLEMENTED", f"Failed to write JSON value for tensor type: {called(dtype)}"
        )
    if array.dtype.kind in "OSU":
        flat = np.empty(array.size, object)
        flat[:] = [_string(text, name.endswith("_bytes")) for text in array.ravel().tolist()]
        return flat.reshape(array.shape).tolist()
    array = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    if not _is_finite(array):
        return orjson.Fragment(_spelled(array))
    return array if array.ndim else _values(array)


def tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns `tensor` of each, by name."""
    return {name: tensor(name, array) for name, array in arrays.items()}


def rows(name: str, array: np.ndarray) -> list[Any]:
    """Returns what `write` writes as the rows of a tensor; errors are those of `tensor`."""
    whole = tensor(name, array)
    if isinstance(whole, orjson.Fragment):
        return [tensor(name, row) for row in np.asarray(array)]
    numbers = isinstance(whole, np.ndarray) and whole.ndim == 1
    return list(_values(whole) if numbers else whole)


def _values(array: np.ndarray) -> Any:
    """Python's numbers; but float32 stays what it is, because its digits depend on that."""
    return array[()] if array.dtype.kind == "f" else array.tolist()


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _spelled(array: np.ndarray) -> bytes:
    """The JSON of an array whose values are not all finite, for which orjson writes `null`."""

    def words() -> Iterator[bytes]:
        for value in array[~np.isfinite(array)].ravel().tolist():
            yield b"NaN" if value != value else b"Infinity" if value > 0 else b"-Infinity"
        yield b""

    parts = (write(array) if array.ndim else b"null").split(b"null")
    return b"".join(chain.from_iterable(zip(parts, words(), strict=True)))


def _string(text: Any, as_bytes: bool) -> Any:
    if isinstance(text, bytes) and not as_bytes:
        try:
            return text.decode()
        except UnicodeDecodeError:
            as_bytes = True
    if as_bytes:
        raw = text if isinstance(text, bytes) else text.encode()
        return {"b64": base64.b64encode(raw).decode()}
    return text
