"""Runs an ONNX file in ONNX Runtime and in ONNX's own reference evaluator."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops import op_grid_sample

Answers = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]

_ERRORS_ONLY = 3


def onnx_runtime(serialized: bytes) -> Answers:
    """Returns a function from named inputs to named outputs, on ONNX Runtime's CPU provider."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    session = onnxruntime.InferenceSession(
        serialized, options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]

    def run(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))

    return run


def reference_evaluator(serialized: bytes) -> Answers:
    """Returns a function from named inputs to named outputs, in NumPy and Python loops: slow."""
    evaluator = ReferenceEvaluator(onnx.load_from_string(serialized), new_ops=[GridSample])

    def run(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        # Masked-out infinities are part of the cases.
        with np.errstate(all="ignore"):
            values = evaluator.run(None, dict(feeds))
        return dict(zip(evaluator.output_names, values, strict=True))

    return run


class GridSample(op_grid_sample.GridSample):
    """The reference GridSample under the names that modes had before opset 20.

    onnx 1.23 evaluates every opset by the newest names and refuses `bilinear` and `bicubic`.
    Remove when it knows them.
    """

    _MODES = {"bilinear": "linear", "bicubic": "cubic"}  # noqa: RUF012 - as its base has it

    def _run(self, X: Any, grid: Any, mode: Any = None, **attributes: Any) -> Any:  # noqa: N803
        return super()._run(X, grid, mode=self._MODES.get(mode, mode), **attributes)
