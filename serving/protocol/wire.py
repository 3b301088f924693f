"""Reads and writes Predict's messages on the wire, without the generated classes.

The reader knows what clients send: one field each, in any order, a packed `float_val` or a
`tensor_content`, strings in `string_val`. It answers None to anything else, however valid, and the
generated classes decide; so it never accepts what they refuse. Arrays are views of the request.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stn_tf.serving.protocol import tensors
from stn_tf.serving.protocol.messages import DataType


@dataclass(frozen=True)
class PredictCall:
    """A Predict request.

    Attributes:
        version: None for the latest, or that of `label`.
        signature: Empty where the request names none.
        inputs: Arrays that may be read-only and unaligned: copy them into a batch, or align them.
    """

    name: str
    version: int | None
    label: str | None
    signature: str
    inputs: dict[str, np.ndarray]
    output_filter: tuple[str, ...]


@dataclass(frozen=True)
class PredictAnswer:
    """A Predict response; its arrays are as those of a `PredictCall`."""

    name: str
    version: int | None
    signature: str
    outputs: dict[str, np.ndarray]


class _Unusual(Exception):
    """Something that is left to the generated classes."""


# Types whose `tensor_content` is the array. Booleans need a look at each byte.
_CONTENT = {
    DataType[f"DT_{name}"]: np.dtype(dtype).newbyteorder("<")
    for name, dtype in {
        "FLOAT": np.float32,
        "DOUBLE": np.float64,
        "INT32": np.int32,
        "UINT8": np.uint8,
        "INT16": np.int16,
        "INT8": np.int8,
        "INT64": np.int64,
        "UINT16": np.uint16,
        "UINT32": np.uint32,
        "UINT64": np.uint64,
        "HALF": np.float16,
        "COMPLEX64": np.complex64,
        "COMPLEX128": np.complex128,
    }.items()
}
_FLOAT, _DOUBLE, _STRING = (DataType[f"DT_{name}"] for name in ("FLOAT", "DOUBLE", "STRING"))
_INT64 = DataType["DT_INT64"]
# Typed fields that are packed: their tags.
_TYPED = {
    _FLOAT: b"\x2a",
    _DOUBLE: b"\x32",
    DataType["DT_COMPLEX64"]: b"\x4a",
    _INT64: b"\x52",
    DataType["DT_COMPLEX128"]: b"\x62",
}
_UNTYPED = dict.fromkeys(_CONTENT, b"\x22")
_SMALL_NUMBERS = [bytes((value,)) for value in range(128)]


def read_predict(data: bytes) -> PredictCall | None:
    """Reads a `PredictRequest`; returns None for one that the generated classes must read."""
    try:
        return _read(data, spec_tag=0x0A, tensors_tag=0x12, filter_tag=0x1A)
    except (_Unusual, UnicodeDecodeError):
        return None


def read_response(data: bytes) -> PredictAnswer | None:
    """Reads a `PredictResponse`; returns None for one that the generated classes must read."""
    try:
        call = _read(data, spec_tag=0x12, tensors_tag=0x0A, filter_tag=None)
    except (_Unusual, UnicodeDecodeError):
        return None
    return PredictAnswer(call.name, call.version, call.signature, call.inputs)


def _read(data: bytes, spec_tag: int, tensors_tag: int, filter_tag: int | None) -> PredictCall:
    end = len(data)
    position = 0
    spec: tuple[str, int | None, str | None, str] | None = None
    inputs: dict[str, np.ndarray] = {}
    output_filter: list[str] = []
    while position < end:
        tag = data[position]
        start, position = _length(data, position + 1, end)
        if tag == tensors_tag:
            key, array = _read_entry(data, start, position)
            if key in inputs:
                raise _Unusual
            inputs[key] = array
        elif tag == spec_tag and spec is None:
            spec = _read_spec(data, start, position)
        elif tag == filter_tag:
            output_filter.append(data[start:position].decode())
        else:
            raise _Unusual
    if spec is None:
        raise _Unusual
    return PredictCall(*spec, inputs, tuple(output_filter))


def _length(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Returns where a length-delimited field starts and stops."""
    if position < end and data[position] < 128:
        length, position = data[position], position + 1
    else:
        length, position = _varint(data, position, end)
    if length > end - position:
        raise _Unusual
    return position, position + length


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Returns a non-negative 63-bit number in its shortest form, and where it stops."""
    value = 0
    for index in range(min(9, end - position)):
        byte = data[position + index]
        value |= (byte & 127) << 7 * index
        if byte < 128:
            if index and not byte:
                break
            return value, position + index + 1
    raise _Unusual


def _read_spec(data: bytes, position: int, end: int) -> tuple[str, int | None, str | None, str]:
    name = signature = label = version = None
    while position < end:
        tag = data[position]
        start, position = _length(data, position + 1, end)
        if tag == 0x0A and name is None:
            name = data[start:position].decode()
        elif tag == 0x1A and signature is None:
            signature = data[start:position].decode()
        elif tag == 0x12 and version is None and label is None:
            version = 0
            if start < position:
                if data[start] != 0x08:
                    raise _Unusual
                version, start = _varint(data, start + 1, position)
                if start != position:
                    raise _Unusual
        elif tag == 0x22 and version is None and label is None:
            label = data[start:position].decode()
        else:
            raise _Unusual
    if not name:
        raise _Unusual
    return name, version, label, signature or ""


def _read_entry(data: bytes, position: int, end: int) -> tuple[str, np.ndarray]:
    key = array = None
    while position < end:
        tag = data[position]
        start, position = _length(data, position + 1, end)
        if tag == 0x0A and key is None:
            key = data[start:position].decode()
        elif tag == 0x12 and array is None:
            array = _read_tensor(data, start, position)
        else:
            raise _Unusual
    if key is None or array is None:
        raise _Unusual
    return key, array


def _read_tensor(data: bytes, position: int, end: int) -> np.ndarray:
    number = shape = None
    field = start = stop = 0
    strings: list[bytes] = []
    while position < end:
        tag = data[position]
        if tag == 0x08 and number is None:
            number, position = _varint(data, position + 1, end)
            continue
        first, position = _length(data, position + 1, end)
        if tag == 0x12 and shape is None:
            shape = _read_shape(data, first, position)
        elif tag == 0x42 and field in (0, tag):
            field = tag
            strings.append(data[first:position])
        elif tag in (0x22, 0x2A, 0x32) and not field:
            field, start, stop = tag, first, position
        else:
            raise _Unusual
    if number is None or shape is None:
        raise _Unusual
    count = math.prod(shape)
    if field == 0x42 and number == _STRING and len(strings) == count:
        values = np.empty(count, object)
        values[:] = strings
        return values.reshape(shape)
    if field == 0x22:
        dtype = _CONTENT.get(number)
    elif (field, number) in ((0x2A, _FLOAT), (0x32, _DOUBLE)):
        dtype = _CONTENT[number]
    else:
        dtype = None
    if dtype is None or not count or stop - start != count * dtype.itemsize:
        raise _Unusual
    return np.frombuffer(data, dtype, count, start).reshape(shape)


def _read_shape(data: bytes, position: int, end: int) -> tuple[int, ...]:
    sizes: list[int] = []
    while position < end:
        tag = data[position]
        start, position = _length(data, position + 1, end)
        if tag != 0x12 or len(sizes) == 32:
            raise _Unusual
        size = 0
        if start < position:
            if data[start] != 0x08:
                raise _Unusual
            size, start = _varint(data, start + 1, position)
            if start != position:
                raise _Unusual
        sizes.append(size)
    return tuple(sizes)


def write_predict(
    name: str,
    version: int | None,
    signature: str,
    outputs: Mapping[str, np.ndarray],
    typed: bool = True,
) -> bytes:
    """Returns the bytes of a `PredictResponse`.

    Args:
        version: The version that answered; None leaves it out.
        typed: Writes `float_val` and the like, which every client reads; otherwise
            `tensor_content`, which is faster for both sides.
    """
    spec = _write_spec(name, version, None, signature)
    return b"".join([*_write_tensors(b"\x0a", outputs, typed), _bytes_field(b"\x12", spec)])


def write_request(call: PredictCall, typed: bool = True) -> bytes:
    """Returns the bytes of a `PredictRequest`; `typed` as in `write_predict`."""
    spec = _write_spec(call.name, call.version, call.label, call.signature)
    names = [_bytes_field(b"\x1a", name.encode()) for name in call.output_filter]
    tensors_of = _write_tensors(b"\x12", call.inputs, typed)
    return b"".join([_bytes_field(b"\x0a", spec), *tensors_of, *names])


def _write_spec(name: str, version: int | None, label: str | None, signature: str) -> bytes:
    spec = _bytes_field(b"\x0a", name.encode())
    if version is not None:
        if not 0 <= version < 1 << 63:
            raise ValueError(f"`version` must be in [0, 2**63), but it is {version}.")
        spec += _bytes_field(b"\x12", b"\x08" + _number(version) if version else b"")
    elif label is not None:
        spec += _bytes_field(b"\x22", label.encode())
    return spec + _bytes_field(b"\x1a", signature.encode()) if signature else spec


def _write_tensors(
    tag: bytes, arrays: Mapping[str, np.ndarray], typed: bool
) -> list[bytes | memoryview]:
    parts: list[bytes | memoryview] = []
    for key, array in arrays.items():
        tensor = _write_tensor(array, typed)
        alias = key.encode()
        size = sum(map(len, tensor))
        head = _bytes_field(b"\x0a", alias) + b"\x12" + _number(size)
        parts += [tag, _number(len(head) + size), head, *tensor]
    return parts


def _number(value: int) -> bytes:
    if value < 128:
        return _SMALL_NUMBERS[value]
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _bytes_field(tag: bytes, value: bytes) -> bytes:
    return tag + _number(len(value)) + value


def _write_tensor(array: np.ndarray, typed: bool) -> list[bytes | memoryview]:
    """Returns the parts of a `TensorProto`; the values are a view."""
    number = tensors.dtype_number(tensors.array_dtype(array))
    field = (_TYPED if typed else _UNTYPED).get(number)
    if field is None or not array.size:
        return [tensors.to_proto(array, content=not typed).SerializeToString()]
    dims = b"".join(
        _bytes_field(b"\x12", b"\x08" + _number(size) if size else b"") for size in array.shape
    )
    flat = np.ascontiguousarray(array, _CONTENT[number]).reshape(-1)
    if typed and number == _INT64:
        values = memoryview(b"".join(map(_number, flat.view("<u8").tolist())))
    else:
        values = flat.view(np.uint8).data
    head = b"\x08" + _number(number) + _bytes_field(b"\x12", dims)
    return [head + field + _number(len(values)), values]
