"""`TensorProto` to NumPy array and back.

A tensor is read as TensorFlow reads it (`Tensor::FromProto`): `tensor_content` wins over typed
fields, missing values repeat the last one, and none at all means zeros. Two things that it lets
pass are refused: more values than the shape holds, and integers that do not fit the type.
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from stn_tf.serving.protocol.messages import DataType, TensorProto
from stn_tf.serving.protocol.status import Status, invalid

try:
    import ml_dtypes
except ImportError:  # Without it, the types that only it has are refused.
    ml_dtypes = None  # type: ignore[assignment]

# Small requests may ask for large tensors of one repeated value: not beyond this size.
EXPANDED_LIMIT_BYTES = 1 << 28
_MAX_RANK = 254  # TensorShape::MaxDimensions

_STRING = np.dtype(object)
# Number -> (name, NumPy type on the wire, typed field).
_KINDS: dict[int, tuple[str, np.dtype, str]] = {}
_NUMBERS: dict[str, int] = {}


def _register(enum: str, name: str, dtype: Any, field: str) -> None:
    _KINDS[DataType[enum]] = (name, np.dtype(dtype).newbyteorder("<"), field)
    _NUMBERS[name] = DataType[enum]


_register("DT_FLOAT", "float32", np.float32, "float_val")
_register("DT_DOUBLE", "float64", np.float64, "double_val")
_register("DT_INT32", "int32", np.int32, "int_val")
_register("DT_UINT8", "uint8", np.uint8, "int_val")
_register("DT_INT16", "int16", np.int16, "int_val")
_register("DT_INT8", "int8", np.int8, "int_val")
_register("DT_STRING", "string", _STRING, "string_val")
_register("DT_COMPLEX64", "complex64", np.complex64, "scomplex_val")
_register("DT_INT64", "int64", np.int64, "int64_val")
_register("DT_BOOL", "bool", np.bool_, "bool_val")
_register("DT_UINT16", "uint16", np.uint16, "int_val")
_register("DT_COMPLEX128", "complex128", np.complex128, "dcomplex_val")
_register("DT_HALF", "float16", np.float16, "half_val")
_register("DT_UINT32", "uint32", np.uint32, "uint32_val")
_register("DT_UINT64", "uint64", np.uint64, "uint64_val")
if ml_dtypes is not None:
    _register("DT_BFLOAT16", "bfloat16", ml_dtypes.bfloat16, "half_val")


def dtype_name(number: int) -> str:
    """Returns the NumPy name (or `"string"`) of a `DataType`; refuses types that are not sent."""
    if number not in _KINDS:
        known = next((name for name, value in DataType.items() if value == number), number)
        raise invalid(f"Tensors of type {known} are not supported.")
    return _KINDS[number][0]


def dtype_number(name: str) -> int:
    """Returns the `DataType` of a NumPy name or `"string"`."""
    if name not in _NUMBERS:
        raise ValueError(f"`name` must be one of {', '.join(_NUMBERS)}, but it is {name!r}.")
    return _NUMBERS[name]


def array_dtype(array: np.ndarray) -> str:
    """Returns the name that a `TensorSpec` has for an array's type."""
    return _spec_name(array.dtype)


@lru_cache(256)  # NumPy puts a name together from parts each time.
def _spec_name(dtype: np.dtype) -> str:
    return "string" if dtype.kind in "OSU" else dtype.name


def to_array(proto: Any, name: str = "") -> np.ndarray:
    """Returns a tensor's values; strings are an object array of `bytes`.

    Args:
        proto: A `TensorProto` of this package or of TensorFlow.
        name: What error messages call it.

    Raises:
        Status: INVALID_ARGUMENT, if the message is no well-formed tensor.
    """
    try:
        shape = to_shape(proto.tensor_shape)
        _, dtype, field = _KINDS[_NUMBERS[dtype_name(proto.dtype)]]
        count = math.prod(shape)
        if not count:
            return np.empty(shape, dtype)
        if proto.tensor_content:
            return _read_content(proto.tensor_content, dtype, count).reshape(shape)
        values = _read_typed(getattr(proto, field), dtype, field)
        return _fill(values, dtype, count).reshape(shape)
    except Status as error:
        raise invalid(f"tensor parsing error: {name}: {error.message}") from None


def to_shape(proto: Any) -> tuple[int, ...]:
    """Returns a `TensorShapeProto`'s sizes; refuses unknown, negative and overflowing ones."""
    sizes = tuple(dim.size for dim in proto.dim)
    if proto.unknown_rank or len(sizes) > _MAX_RANK or any(size < 0 for size in sizes):
        raise invalid(f"Not a valid tensor shape: {list(sizes)[:8]}")
    if len(sizes) > 64:
        raise invalid(f"Tensors have at most 64 dimensions, but this one has {len(sizes)}.")
    if math.prod(max(size, 1) for size in sizes) >= 1 << 59:  # In bytes, 2**63.
        raise invalid(f"Tensor is too large: {list(sizes)[:8]}")
    return sizes


def _read_content(content: bytes, dtype: np.dtype, count: int) -> np.ndarray:
    if dtype == _STRING:
        return _read_strings(content, count)
    if len(content) != count * dtype.itemsize:
        raise invalid(
            f"`tensor_content` has {len(content)} bytes, but the shape needs "
            f"{count * dtype.itemsize}."
        )
    if dtype == np.bool_:
        return np.frombuffer(content, np.uint8) != 0
    return np.frombuffer(content, dtype)


def _read_strings(content: bytes, count: int) -> np.ndarray:
    """Reads `count` lengths as varints, then the strings (`port::EncodeStringList`)."""
    if count > len(content):
        raise invalid("`tensor_content` ends within the lengths of its strings.")
    position, lengths = 0, []
    for _ in range(count):
        length = shift = 0
        while True:
            if position >= len(content) or shift > 28:
                raise invalid("`tensor_content` ends within the lengths of its strings.")
            byte = content[position]
            position, length, shift = position + 1, length | (byte & 127) << shift, shift + 7
            if byte < 128:
                break
        lengths.append(length)
    if position + sum(lengths) != len(content):
        raise invalid("`tensor_content` does not hold the strings that its lengths announce.")
    values = np.empty(count, object)
    for index, length in enumerate(lengths):
        values[index] = content[position : position + length]
        position += length
    return values


def _read_typed(field: Any, dtype: np.dtype, name: str) -> np.ndarray:
    if dtype == _STRING:
        values = np.empty(len(field), object)
        values[:] = list(field)
        return values
    if dtype.kind == "c":
        parts = np.array(field, f"<f{dtype.itemsize // 2}")
        if len(parts) % 2:
            raise invalid(f"`{name}` holds pairs of numbers, but it has {len(parts)} of them.")
        return parts.view(dtype)
    if name not in ("half_val", "int_val") or dtype == np.int32:
        return np.array(field, dtype)
    bits = np.dtype(f"<u{dtype.itemsize}") if name == "half_val" else dtype
    wide = np.array(field, np.int32)
    limits = np.iinfo(bits)
    if wide.size and (wide.min() < limits.min or wide.max() > limits.max):
        raise invalid(f"`{name}` holds values that do not fit {dtype.name}.")
    return wide.astype(bits).view(dtype)


def _fill(values: np.ndarray, dtype: np.dtype, count: int) -> np.ndarray:
    if len(values) == count:
        return values
    if len(values) > count:
        raise invalid(f"The shape holds {count} values, but {len(values)} came.")
    if count * dtype.itemsize > EXPANDED_LIMIT_BYTES:
        raise invalid(f"The shape holds {count} values, but {len(values)} came, too few to repeat.")
    empty: Any = b"" if dtype == _STRING else 0
    full = np.full(count, values[-1] if len(values) else empty, dtype)
    full[: len(values)] = values
    return full


def to_proto(array: np.ndarray, content: bool = False) -> Any:
    """Returns the `TensorProto` of an array.

    Args:
        array: Numbers, booleans, or strings (`bytes` or `str`, which becomes UTF-8).
        content: Writes `tensor_content`, which is faster to read than the typed field that
            TensorFlow's own clients expect. Strings are always in `string_val`.

    Raises:
        ValueError: If TensorFlow has no such type.
    """
    number = dtype_number(array_dtype(array))
    _, dtype, field = _KINDS[number]
    proto = TensorProto(dtype=number)
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if dtype == _STRING:
        proto.string_val.extend(to_bytes(array.ravel().tolist()))
        return proto
    flat = np.ascontiguousarray(array, dtype).reshape(-1)
    if content:
        proto.tensor_content = flat.tobytes()
    elif field == "half_val":
        proto.half_val.extend(flat.view("<u2").tolist())
    elif dtype.kind == "c":
        getattr(proto, field).extend(flat.view(f"<f{dtype.itemsize // 2}").tolist())
    else:
        getattr(proto, field).extend(flat.tolist())
    return proto


def to_bytes(values: Iterable[Any]) -> list[bytes]:
    """Returns strings as TensorFlow holds them."""
    result = []
    for value in values:
        if not isinstance(value, bytes | str):
            raise ValueError(f"A string tensor holds bytes or str, but here is {type(value)}.")
        result.append(value.encode() if isinstance(value, str) else value)
    return result
