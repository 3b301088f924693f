"""Runs the ONNX file of a version in OpenVINO, on the CPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from stn_tf.errors import ExportError
from stn_tf.export.proof.comparison import Answers, Run, default_alone
from stn_tf.export.proof.runtimes import Prepared
from stn_tf.export.publish.manifest import ONNX_FILE, Manifest

_PRECISION = "INFERENCE_PRECISION_HINT"
_FLOAT32 = {_PRECISION: "f32"}


def load(folder: Path, manifest: Manifest) -> dict[str, Answers]:
    """Returns the file as OpenVINO takes it, and in full precision where that is another.

    On processors with bfloat16 it computes in that unless told otherwise.

    Raises:
        ExportError: If OpenVINO refuses the file.
    """
    core = openvino.Core()
    compiled = compile_file(core, folder / ONNX_FILE)
    found = {"openvino": default_alone(runner(compiled))}
    if compiled.get_property(_PRECISION) != openvino.Type.f32:
        exact = compile_file(core, folder / ONNX_FILE, **_FLOAT32)
        found["openvino/float32"] = default_alone(runner(exact))
    return found


def prepare(folder: Path, manifest: Manifest, threads: int) -> dict[str, Prepared]:
    """Returns the same for timing."""
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads} if threads else {}
    compiled = compile_file(core, folder / ONNX_FILE, **settings)
    found = {"openvino": Prepared(runner(compiled), _where(compiled))}
    if compiled.get_property(_PRECISION) != openvino.Type.f32:
        exact = compile_file(core, folder / ONNX_FILE, **settings, **_FLOAT32)
        found["openvino/float32"] = Prepared(runner(exact), _where(exact))
    return found


def _where(compiled: Any) -> str:
    count = len(compiled.get_runtime_model().get_ops())
    precision = compiled.get_property(_PRECISION).get_type_name()
    return f"{', '.join(compiled.get_property('EXECUTION_DEVICES'))}: {count} nodes, {precision}"


def compile_file(core: Any, path: Path, **settings: Any) -> Any:
    """Returns a file compiled for the CPU.

    Raises:
        ExportError: If OpenVINO refuses it.
    """
    try:
        return core.compile_model(core.read_model(path), "CPU", settings)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        # The first lines name OpenVINO's own source files.
        reason = next((line for line in lines if "No conversion rule" in line), lines[-1])
        raise ExportError(
            f"OpenVINO refuses `{path.name}`: {reason.rstrip('.')}. Export with --target openvino."
        ) from None


def runner(compiled: Any) -> Run:
    """Returns a function from named inputs to named outputs."""
    request = compiled.create_infer_request()

    def run(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        answered = request.infer(dict(feeds))
        return {output.any_name: np.array(value) for output, value in answered.items()}

    return run
