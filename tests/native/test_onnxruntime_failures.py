"""The operation where ONNX Runtime fails: run by hand, with a table of functions in ctypes."""

import ctypes
import re
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stn_tf
from stn_tf import native

OUT = POINTER(c_void_p)
SIGNATURES: dict[str, tuple] = {
    "CreateStatus": (c_void_p, c_int, c_char_p),
    "CreateCustomOpDomain": (c_void_p, c_char_p, OUT),
    "CustomOpDomain_Add": (c_void_p, c_void_p, c_void_p),
    "AddCustomOpDomain": (c_void_p, c_void_p, c_void_p),
    "GetTensorMutableData": (c_void_p, c_void_p, OUT),
    "GetDimensionsCount": (c_void_p, c_void_p, POINTER(c_size_t)),
    "GetDimensions": (c_void_p, c_void_p, POINTER(c_int64), c_size_t),
    "GetTensorTypeAndShape": (c_void_p, c_void_p, OUT),
    "KernelInfoGetAttribute_int64": (c_void_p, c_void_p, c_char_p, c_void_p),
    "KernelInfoGetAttribute_string": (c_void_p, c_void_p, c_char_p, c_void_p, c_void_p),
    "KernelContext_GetInput": (c_void_p, c_void_p, c_size_t, OUT),
    "KernelContext_GetOutput": (c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, OUT),
    "ReleaseStatus": (None, c_void_p),
    "ReleaseTensorTypeAndShapeInfo": (None, c_void_p),
    "KernelContext_ParallelFor": (c_void_p, c_void_p, c_void_p, c_size_t, c_size_t, c_void_p),
}
# Places of an operation's functions, after its version.
GET_NAME, KERNEL_DESTROY, CREATE_KERNEL, KERNEL_COMPUTE = 1, 8, 16, 17


class FakeRuntime:
    """As much of ONNX Runtime as GridSample needs to run once. Tensors are known by 1, 2 and 3.

    Attributes:
        released: The statuses that were released, by address.
        parallel: What stands for KernelContext_ParallelFor: work, count, context -> status.
    """

    def __init__(self, root: Path, images: np.ndarray, grid: np.ndarray) -> None:
        self.output = np.full((*grid.shape[:-1], images.shape[-1]), np.nan, np.float32)
        self.tensors = {1: images, 2: grid, 3: self.output}
        self.released: list[int] = []
        self.parallel: Callable[[Callable, int, int], int | None] = in_turn
        self.operations: list[int] = []
        header = (root / "stn_tf" / "native" / "src" / "onnxruntime_c.h").read_text()
        positions = dict(re.findall(r"using (\w+) =\s+OrtFunction<(\d+),", header))
        assert set(positions) == set(SIGNATURES)
        self._table = (c_void_p * 275)()
        self._kept: list[Any] = [self._function(name, *SIGNATURES[name]) for name in SIGNATURES]
        for name, function in zip(SIGNATURES, self._kept, strict=True):
            self._table[int(positions[name])] = ctypes.cast(function, c_void_p).value

    def _function(self, name: str, result: Any, *arguments: Any) -> Any:
        return CFUNCTYPE(result, *arguments)(getattr(self, name, lambda *_: None))

    def run(self) -> int | None:
        """Runs the operation; returns its status, None for success."""
        table = ctypes.addressof(self._table)
        get_api = CFUNCTYPE(c_void_p, ctypes.c_uint32)(lambda _: table)
        base = (c_void_p * 2)(ctypes.cast(get_api, c_void_p).value, None)
        library = ctypes.CDLL(native.onnxruntime_library_path())
        library.RegisterCustomOps.restype = c_void_p
        assert library.RegisterCustomOps(None, base) is None
        operation = self.operations[0]
        functions = (c_void_p * 22).from_address(operation + 8)
        assert CFUNCTYPE(c_char_p, c_void_p)(functions[GET_NAME])(operation) == b"GridSample"
        kernel = c_void_p()
        create = CFUNCTYPE(c_void_p, c_void_p, c_void_p, c_void_p, OUT)(functions[CREATE_KERNEL])
        assert create(operation, table, None, ctypes.byref(kernel)) is None
        compute = CFUNCTYPE(c_void_p, c_void_p, c_void_p)(functions[KERNEL_COMPUTE])
        status: int | None = compute(kernel, None)
        CFUNCTYPE(None, c_void_p)(functions[KERNEL_DESTROY])(kernel)
        return status

    def CustomOpDomain_Add(self, _: int, operation: int) -> None:
        self.operations.append(operation)

    def KernelContext_GetInput(self, _: int, index: int, value: Any) -> None:
        value[0] = index + 1

    def KernelContext_GetOutput(self, *arguments: Any) -> None:
        arguments[-1][0] = 3

    def GetTensorTypeAndShape(self, value: int, info: Any) -> None:
        info[0] = value

    def GetDimensionsCount(self, info: int, count: Any) -> None:
        count[0] = self.tensors[info].ndim

    def GetDimensions(self, info: int, sizes: Any, count: int) -> None:
        for axis in range(count):
            sizes[axis] = self.tensors[info].shape[axis]

    def GetTensorMutableData(self, value: int, data: Any) -> None:
        data[0] = self.tensors[value].ctypes.data

    def ReleaseStatus(self, status: int) -> None:
        self.released.append(status)

    def KernelContext_ParallelFor(
        self, _: int, work: int, count: int, batches: int, context: int
    ) -> int | None:
        return self.parallel(CFUNCTYPE(None, c_void_p, c_size_t)(work), count, context)


def in_turn(work: Callable, count: int, context: int) -> None:
    for index in range(count):
        work(context, index)


@pytest.fixture
def runtime(root: Path, rng: np.random.Generator) -> FakeRuntime:
    # Large enough to be shared between threads.
    images = rng.uniform(size=(1, 30, 40, 3)).astype(np.float32)
    grid = rng.uniform(-1.2, 1.2, (1, 500, 300, 2)).astype(np.float32)
    return FakeRuntime(root, images, grid)


def test_the_table_in_ctypes_is_enough(runtime: FakeRuntime) -> None:
    counts = []

    def counted(work: Callable, count: int, context: int) -> None:
        counts.append(count)
        in_turn(work, count, context)

    runtime.parallel = counted
    assert runtime.run() is None
    assert counts
    assert min(counts) > 1
    np.testing.assert_allclose(
        runtime.output, stn_tf.grid_sample(runtime.tensors[1], runtime.tensors[2]), atol=1e-6
    )
    assert runtime.released == []


def test_threads_that_fail_are_no_success(runtime: FakeRuntime) -> None:
    statuses = iter(range(4242, 5000))
    runtime.parallel = lambda work, count, context: next(statuses)
    # ONNX Runtime gets its own status, to read and release.
    assert runtime.run() == 4242
    assert 4242 not in runtime.released
    assert runtime.released == list(range(4243, next(statuses)))


def test_threads_that_fail_half_way_are_no_success(runtime: FakeRuntime) -> None:
    def half(work: Callable, count: int, context: int) -> int:
        in_turn(work, count // 2, context)
        return 77

    runtime.parallel = half
    assert runtime.run() == 77
    assert np.isnan(runtime.output).any()
