"""Tensors from files that torch wrote before version 1.6, without torch and without running code.

Such a file is five pickles (a magic number, the format's version, facts of the machine, the
tensors' names and shapes, the keys of the storages) and then the storages: a count, and as many raw
numbers. A pickle may name any function of the machine for its reader to call; this reader knows
the four names and the operations that tensors need, and refuses the rest.
"""

import io
import math
import os
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from stn_tf.errors import ModelError

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_DTYPES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}
# Of pickle's operations, those that plain values, collections and references are written with.
_OPERATIONS = frozenset([
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "BINUNICODE", "GLOBAL", "BINPERSID", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "REDUCE", "BUILD",
    "BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT",
])  # fmt: skip


class _Tensor(NamedTuple):
    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Returns the tensors of a file of torch, float32 or int64, by name and in order.

    Raises:
        ModelError: If the file cannot be read, is cut short, or holds anything but tensors.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ModelError(f"Cannot read the weights {path}: {error.strerror}.") from None
    if content[:2] == b"PK":
        raise ModelError(
            f"{path} is a zip file, as torch writes since version 1.6, and only the older format "
            "is read here. Write it with torch.save(..., _use_new_zipfile_serialization=False)."
        )
    try:
        return _read(io.BytesIO(content))
    except ModelError as error:
        raise ModelError(f"Cannot read the weights {path}: {error}") from None
    # What a pickle of random bytes raises is documented to be anything.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ModelError(
            f"Cannot read the weights {path}: it is not a whole file of torch's old format "
            f"({reason}). Fetch it again."
        ) from None


def _read(file: io.BytesIO) -> dict[str, np.ndarray]:
    sizes: dict[str, tuple[str, int]] = {}
    magic, version, machine = (_load(file, sizes) for _ in range(3))
    if magic != _MAGIC or version != _VERSION or not machine["little_endian"]:
        raise ModelError("it is not of torch's old format, version 1001 and little-endian.")
    tensors = _load(file, sizes)
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, _Tensor) for name, tensor in tensors.items()
    ):
        raise ModelError("it must hold tensors by name and nothing else. Save the `state_dict()`.")
    storages = {}
    for key in _load(file, sizes):
        kind, count = sizes[key]
        storages[key] = _read_storage(file, key, _DTYPES[kind], count)
    if file.read(1):
        raise ModelError("something follows its last tensor.")
    return {name: _view(name, tensor, storages) for name, tensor in tensors.items()}


def _load(file: io.BytesIO, sizes: dict[str, tuple[str, int]]) -> Any:
    start = file.tell()
    for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
        if operation.name not in _OPERATIONS:
            raise ModelError(f"it uses pickle's {operation.name}, which no tensor needs.")
        # What is put is counted from zero; a greater number would ask for as much memory.
        if operation.name.endswith("BINPUT") and (argument or 0) > count:
            raise ModelError(f"it puts value {argument} after {count} operations.")
    file.seek(start)
    return _TensorUnpickler(file, sizes).load()


def _read_storage(file: io.BytesIO, key: str, dtype: np.dtype, count: int) -> np.ndarray:
    written = int.from_bytes(file.read(8), "little")
    if written != count:
        raise ModelError(f"storage {key} must have {count} numbers, but says {written}.")
    raw = file.read(count * dtype.itemsize)
    if len(raw) != count * dtype.itemsize:
        raise ModelError(
            f"it is cut short: storage {key} has {len(raw)} bytes of {count * dtype.itemsize}. "
            "Fetch it again."
        )
    return np.frombuffer(raw, dtype)


def _view(name: str, tensor: _Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    storage = storages[tensor.storage]
    shape, strides = tensor.shape, tensor.strides
    numbers = (tensor.offset, *shape, *strides)
    sound = len(shape) == len(strides) and all(type(n) is int and n >= 0 for n in numbers)
    # No more elements than there are numbers, so that no file of a page asks for all memory.
    if sound and math.prod(shape) <= storage.size:
        last = tensor.offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if 0 in shape or last < storage.size:
            start = storage[tensor.offset :]
            steps = [stride * storage.itemsize for stride in strides]
            return np.lib.stride_tricks.as_strided(start, shape, steps, writeable=False).copy()
    raise ModelError(f"tensor {name!r} reaches outside its storage of {storage.size} numbers.")


class _TensorUnpickler(pickle.Unpickler):
    """Loads what is made of plain values, ordered dictionaries and tensors.

    What it hands to the pickle are strings, and functions made for this one: whatever the pickle
    does to them, nothing outlasts it.
    """

    def __init__(self, file: io.BytesIO, sizes: dict[str, tuple[str, int]]) -> None:
        super().__init__(file)
        self._sizes = sizes

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuilder()
        if module == "torch" and name in _DTYPES:
            return name
        raise ModelError(f"it names {module}.{name}, which no tensor of float32 or int64 needs.")

    def persistent_load(self, reference: Any) -> str:
        tag, kind, key, _, count, view = reference
        if tag != "storage" or kind not in _DTYPES or view is not None or not isinstance(key, str):
            raise ModelError("it refers to something that is not a storage.")
        if (
            type(count) is not int
            or count < 0
            or self._sizes.get(key, (kind, count))
            != (
                kind,
                count,
            )
        ):
            raise ModelError(f"storage {key} has no size, or several.")
        self._sizes[key] = (kind, count)
        return key


def _rebuilder() -> Callable[..., _Tensor]:
    def rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
        return _Tensor(storage, offset, tuple(shape), tuple(strides))

    return rebuild
