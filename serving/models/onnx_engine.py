"""Runs a version's ONNX file in ONNX Runtime, without TensorFlow."""

from pathlib import Path

import numpy as np

from stn_tf.errors import ModelError
from stn_tf.export.publish.manifest import ONNX_FILE, read_manifest
from stn_tf.serving.models.directory import verify_files
from stn_tf.serving.models.engine import Engine
from stn_tf.serving.models.onnx_session import has_bfloat16, make_session, run


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
        path = version_dir / ONNX_FILE
        try:
            self.session = make_session(path, threads)
        except Exception as error:  # ONNX Runtime's errors share no base class of their own.
            raise ModelError(
                f"`{path}` is no ONNX model that ONNX Runtime {ort.__version__} can load: "
                f"{_reason(error)} Copy it again or run `stn-tf export`."
            ) from error
        self._bfloat16 = has_bfloat16(self.session)
        self._input = self.session.get_inputs()[0].name
        self._outputs = [output.name for output in self.session.get_outputs()]

    def _run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        return run(self.session, self._outputs, {self._input: images}, bfloat16=self._bfloat16)


def _reason(error: Exception) -> str:
    # "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from ... failed:..." -> the last part
    text = " ".join(str(error).split()).rsplit(" : ", 1)[-1]
    return text if text.endswith(".") else f"{text}."
