"""A session of ONNX Runtime: on the GPU where there is one, else on the CPU with our sampler."""

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stn_tf.interface import numpy_dtype
from stn_tf.libraries import onnxruntime_library

_ERRORS_ONLY = 3
_CPU = "CPUExecutionProvider"
_BFLOAT16 = 16  # TensorProto.BFLOAT16


def make_session(path: Path, threads: int | None = None) -> Any:
    """Loads an ONNX file; raises what ONNX Runtime raises, which has no base class of its own.

    Args:
        path: The file.
        threads: CPU threads of one operation; None takes every core.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    # Threads that spin between two requests take the processor from those who read the next one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    providers = _providers()
    library = onnxruntime_library()
    # It computes on the CPU: on a GPU it would draw the sampler off it.
    if library is not None and providers == [_CPU]:
        options.register_custom_ops_library(str(library))
    return ort.InferenceSession(str(path), options, providers=providers)


def has_bfloat16(session: Any) -> bool:
    """Whether an input or output is bfloat16."""
    return any("bfloat16" in v.type for v in (*session.get_inputs(), *session.get_outputs()))


def run(
    session: Any, outputs: Sequence[str], feeds: Mapping[str, np.ndarray], *, bfloat16: bool
) -> dict[str, np.ndarray]:
    """Computes outputs by name; raises what ONNX Runtime raises.

    Args:
        session: From `make_session`.
        outputs: Their names.
        feeds: Every input by name.
        bfloat16: What `has_bfloat16` says of the session.
    """
    if not bfloat16:
        return dict(zip(outputs, session.run(outputs, feeds), strict=True))
    # ONNX Runtime 1.26 does not know the NumPy type that ml_dtypes adds.
    import onnxruntime as ort

    given = {
        name: ort.OrtValue.ortvalue_from_numpy_with_onnx_type(value.view(np.uint16), _BFLOAT16)
        if value.dtype.name == "bfloat16"
        else ort.OrtValue.ortvalue_from_numpy(value)
        for name, value in feeds.items()
    }
    values = session.run_with_ort_values(list(outputs), given)
    return {name: _array(value) for name, value in zip(outputs, values, strict=True)}


def _array(value: Any) -> np.ndarray:
    if value.data_type() != "tensor(bfloat16)":
        return np.asarray(value.numpy())
    shape = value.shape()
    count = int(np.prod(shape))
    found = np.empty(count, np.uint16)
    ctypes.memmove(found.ctypes.data, value.data_ptr(), found.nbytes)
    return found.view(numpy_dtype("bfloat16")).reshape(shape)


def _providers() -> list[str | tuple[str, dict[str, str]]]:
    import onnxruntime as ort

    cpu: list[str | tuple[str, dict[str, str]]] = [_CPU]
    # The GPU wheel lists CUDA on every machine, and logs errors when it is asked for without one.
    if "CUDAExecutionProvider" not in ort.get_available_providers() or not _cuda_devices():
        return cpu
    ort.preload_dlls()  # cuDNN and cuBLAS of the nvidia wheels that `stn-tf[cuda]` brings
    # TensorFloat-32 rounds to 10 bits: answers would differ from the CPU's in the third digit.
    return [("CUDAExecutionProvider", {"use_tf32": "0"}), *cpu]


def _cuda_devices() -> int:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
