"""A session of ONNX Runtime: on the GPU where there is one, else on the CPU with our sampler."""

import ctypes
from pathlib import Path
from typing import Any

from stn_tf.libraries import onnxruntime_library

_ERRORS_ONLY = 3
_CPU = "CPUExecutionProvider"


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
