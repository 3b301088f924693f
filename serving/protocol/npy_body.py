"""Bodies that are NumPy's `.npy` files, as views.

`numpy.load` has Python's own parser read the header, which fails at random when threads do so at
once (CPython 3.11: "AST constructor recursion depth mismatch").
"""

import math
import re
from functools import lru_cache

import numpy as np

from stn_tf.serving.protocol.status import invalid

_MAGIC = b"\x93NUMPY"
_MAX_RANK = 32
_LENGTH = rb"(?:0|[1-9]\d{0,18})\s*"
_ITEMS = rb"""
    'descr'\s*:\s*'(?P<dtype>[<>|=]?[biufc]\d{1,2})'
    | 'fortran_order'\s*:\s*(?P<fortran>True|False)
    | 'shape'\s*:\s*\(\s*(?P<shape>(?:(?:LENGTH,\s*)+(?:LENGTH)?)?)\)
""".replace(b"LENGTH", _LENGTH)
_ITEM = re.compile(rb"\s*(?:" + _ITEMS + rb")\s*(?:,|(?=\}))\s*", re.VERBOSE)


def read_npy(data: bytes | memoryview) -> np.ndarray:
    """Returns the array of numbers or booleans in a `.npy` file, read-only.

    Raises:
        Status: INVALID_ARGUMENT, if it is no such file, or holds objects or strings.
    """
    head = bytes(data[:7])
    size = {b"\1": 2, b"\2": 4, b"\3": 4}.get(head[6:])
    if not head.startswith(_MAGIC) or size is None:
        raise _refusal("it does not begin like one")
    start = 8 + size
    stop = start + int.from_bytes(data[8:start], "little")
    dtype, shape, fortran = _read_header(bytes(data[start:stop]).strip())
    count = math.prod(shape)
    if len(data) - stop != count * dtype.itemsize:
        raise _refusal(
            f"its header announces {count * dtype.itemsize} bytes of values, but "
            f"{max(len(data) - stop, 0)} came"
        )
    values = np.frombuffer(data, dtype, count, stop)
    values = values.reshape(shape[::-1]).transpose() if fortran else values.reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


@lru_cache(64)
def _read_header(text: bytes) -> tuple[np.dtype, tuple[int, ...], bool]:
    found: dict[str, bytes] = {}
    position = 1
    while text[:1] == b"{" and (item := _ITEM.match(text, position)):
        found |= {key: value for key, value in item.groupdict().items() if value is not None}
        position = item.end()
    if text[position:] != b"}" or found.keys() != {"dtype", "fortran", "shape"}:
        raise _refusal("its header is not one of an array of numbers")
    try:
        dtype = np.dtype(found["dtype"].decode())
    except TypeError:
        raise _refusal(f"its type {found['dtype'].decode()} is unknown") from None
    shape = tuple(int(length) for length in found["shape"].split(b",") if length.strip())
    if len(shape) > _MAX_RANK or math.prod(max(length, 1) for length in shape) >= 1 << 59:
        raise _refusal("its array is too large")
    return dtype, shape, found["fortran"] == b"True"


def _refusal(reason: str) -> Exception:
    return invalid(f"The body is no array of NumPy's .npy format: {reason}.")
