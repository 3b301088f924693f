"""Runs a version's ONNX file in ONNX Runtime, without TensorFlow."""

import ctypes
from pathlib import Path

import numpy as np

from stn_tf.errors import ModelError
from stn_tf.export.manifest import read_manifest
from stn_tf.libraries import onnxruntime_library
from stn_tf.serving.models.directory import ONNX_FILE, verify_files
from stn_tf.serving.models.engine import Engine

_ERRORS_ONLY = 3
_CPU = "CPUExecutionProvider"


class OnnxEngine(Engine):
    """An ONNX Runtime session: on the GPU where there is one, else on the CPU.

    Attributes:
        session: The session, for those who want to tune or profile it.
    """

    name = "onnx"

    def __init__(self, version_dir: Path, *, threads: int | None = None) -> None:
        """Loads `model.onnx` of a version directory.

        Args:
            version_dir: A folder that `find_version` returned.
            threads: CPU threads of one operation; None takes every core.
        """
        import onnxruntime as ort

        super().__init__(version_dir, read_manifest(version_dir))
        verify_files(version_dir, self.manifest.sha256, [ONNX_FILE])
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        if threads is not None:
            options.intra_op_num_threads = threads
        providers = _providers()
        library = onnxruntime_library()
        # It computes on the CPU: on a GPU it would draw the sampler off it.
        if library is not None and providers == [_CPU]:
            options.register_custom_ops_library(str(library))
        path = version_dir / ONNX_FILE
        try:
            self.session = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # ONNX Runtime's errors share no base class of their own.
            raise ModelError(
                f"`{path}` is no ONNX model that ONNX Runtime {ort.__version__} can load: "
                f"{_reason(error)} Copy it again or run `stn-tf export`."
            ) from error
        self._input = self.session.get_inputs()[0].name
        self._outputs = [output.name for output in self.session.get_outputs()]

    def _run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        values = self.session.run(self._outputs, {self._input: images})
        return dict(zip(self._outputs, values, strict=True))


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


def _reason(error: Exception) -> str:
    # "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from ... failed:..." -> the last part
    text = " ".join(str(error).split()).rsplit(" : ", 1)[-1]
    return text if text.endswith(".") else f"{text}."
