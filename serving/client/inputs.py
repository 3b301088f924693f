"""What callers give, as the arrays and features that requests hold."""

import base64
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from stn_tf.errors import DataError, InputError
from stn_tf.serving.protocol.signature import Signature, TensorSpec
from stn_tf.serving.protocol.tensors import to_bytes

_FLOATS = ("float16", "bfloat16", "float32", "float64")


def fit(inputs: Any, signature: Signature) -> dict[str, np.ndarray]:
    """Returns the arrays of a request, in the types of the signature.

    Floats take the width of the input, and so do integers that fit it. Lists of integers may be
    floats; integer arrays may not, for they are often pictures that were to be divided by 255.

    Args:
        inputs: Name -> array, list or number; or that alone where the signature has one input.
        signature: What the model takes.

    Raises:
        InputError: If names or types differ.
    """
    specs = signature.inputs
    names = ", ".join(sorted(specs))
    if not isinstance(inputs, Mapping):
        if len(specs) != 1:
            raise InputError(f"`inputs` must be a mapping: the signature takes {names}.")
        inputs = dict.fromkeys(specs, inputs)
    if inputs.keys() != specs.keys():
        given = ", ".join(sorted(map(str, inputs))) or "nothing"
        raise InputError(f"`inputs` must hold {names}, but it holds {given}.")
    return {name: _array(inputs[name], spec) for name, spec in specs.items()}


def _array(value: Any, spec: TensorSpec) -> np.ndarray:
    if spec.dtype == "string":
        return _strings(value, spec.name)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise InputError(f"`{spec.name}` is no array: {error}") from None
    if array.dtype.name == spec.dtype:
        return array
    wanted = np.dtype(spec.dtype)
    plain = not hasattr(value, "__array__")
    if spec.dtype in _FLOATS and (
        array.dtype.name in _FLOATS or (plain and array.dtype.kind in "iu")
    ):
        return array.astype(wanted)
    if wanted.kind in "iu" and array.dtype.kind in "iu":
        limits = np.iinfo(wanted)
        if not array.size or (array.min() >= limits.min and array.max() <= limits.max):
            return array.astype(wanted)
        raise InputError(f"`{spec.name}` holds values that do not fit {spec.dtype}.")
    raise InputError(
        f"`{spec.name}` must be {spec.dtype}, but it is {array.dtype}. "
        f'Cast it with `.astype("{spec.dtype}")`.'
    )


def _strings(value: Any, name: str) -> np.ndarray:
    # Not by NumPy's own string types, which cut zeros off.
    array = np.array(value, object)
    strings = np.empty(array.size, object)
    try:
        strings[:] = to_bytes(array.ravel().tolist())
    except ValueError as error:
        raise InputError(f"`{name}` must hold strings. {error}") from None
    return strings.reshape(array.shape)


def image_bytes(images: Iterable[bytes | str | PathLike[str]]) -> np.ndarray:
    """Returns encoded images as an array of strings; paths are read.

    Raises:
        DataError: If a file cannot be read.
        InputError: If one of them is neither `bytes` nor a path.
    """
    if isinstance(images, bytes | str | PathLike):
        raise InputError("`images` must be a list of encoded images or paths, not one of them.")
    found = [_image(image) for image in images]
    array = np.empty(len(found), object)
    array[:] = found
    return array


def _image(image: Any) -> bytes:
    if isinstance(image, bytes):
        return image
    if not isinstance(image, str | PathLike):
        raise InputError(
            f"`images` must be encoded images (`bytes`) or paths, but here is {type(image)}. "
            "Give arrays to `predict`."
        )
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise DataError(f"`{image}` cannot be read: {error.strerror}.") from None


def features(example: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the features of an example as JSON holds them: lists, and bytes in base64."""
    if not isinstance(example, Mapping):
        raise InputError(f"An example must map features to values, but it is {type(example)}.")
    return {name: _plain(value) for name, value in example.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.ravel().tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return value
