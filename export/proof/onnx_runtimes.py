"""Runs an ONNX file in ONNX Runtime and in ONNX's own reference evaluator."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx.inliner
import onnxruntime
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops import op_grid_sample

from stn_tf.libraries import onnxruntime_library

Answers = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]

_ERRORS_ONLY = 3


def onnx_runtime(serialized: bytes, *, ours: bool = True, optimised: bool = True) -> Answers:
    """Returns a function from named inputs to named outputs, on ONNX Runtime's CPU provider.

    Args:
        serialized: The file.
        ours: Whether the session gets our operations.
        optimised: Whether ONNX Runtime may rewrite the graph.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if ours:
        register_sampler(options)
    session = onnxruntime.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))

    return run


def register_sampler(options: onnxruntime.SessionOptions) -> None:
    """Gives a session on the CPU the operations of `ai.stn_tf`, where they were compiled."""
    library = onnxruntime_library()
    if library is not None:
        options.register_custom_ops_library(str(library))


def reference_evaluator(serialized: bytes) -> Answers:
    """Returns a function from named inputs to named outputs, in NumPy and Python loops: slow."""
    # onnx 1.23 does not hand `new_ops` on to the functions within a file.
    model = onnx.inliner.inline_local_functions(onnx.load_from_string(serialized))
    evaluator = ReferenceEvaluator(model, new_ops=[GridSample])

    def run(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        # Masked-out infinities are part of the cases.
        with np.errstate(all="ignore"):
            values = evaluator.run(None, dict(feeds))
        return dict(zip(evaluator.output_names, values, strict=True))

    return run


class GridSample(op_grid_sample.GridSample):
    """The reference GridSample, under the names of every opset and without needless work.

    onnx 1.23 evaluates every opset by the newest names of modes and refuses `bilinear` and
    `bicubic`, and for each point it interpolates every line of the image before it picks two or
    four of them: 20 times slower at 42 lines. Remove when it does neither.
    """

    _MODES = {"bilinear": "linear", "bicubic": "cubic"}  # noqa: RUF012 - as its base has it

    def _run(
        self,
        X: Any,
        grid: Any,
        mode: Any = None,
        padding_mode: Any = None,
        align_corners: Any = None,
    ) -> Any:
        return super()._run(X, grid, self._MODES.get(mode, mode), padding_mode, align_corners)

    def _gs_linear_interpolation_nd_with_x(
        self, data: Any, x: Any, border: Any, padding_mode: str
    ) -> Any:
        one = self._gs_linear_interpolation_1d_with_x
        return self._interpolate(one, (0, 1), data, x, border, padding_mode)

    def _gs_cubic_interpolation_nd_with_x(
        self, data: Any, x: Any, border: Any, padding_mode: str
    ) -> Any:
        one = self._gs_cubic_interpolation_1d_with_x
        return self._interpolate(one, (-1, 0, 1, 2), data, x, border, padding_mode)

    def _interpolate(
        self, one: Any, taps: tuple[int, ...], data: Any, x: Any, border: Any, padding_mode: str
    ) -> Any:
        """`one` dimension after the other, slowest last, over the lines that the taps read."""
        axes, size = data.ndim, data.shape[0]
        outer = [border[0], border[axes]]
        if axes == 1:
            return one(data, x[0], outer, padding_mode)
        inner = [*border[1:axes], *border[axes + 1 :]]
        lines = np.zeros(size, data.dtype)
        for tap in taps:
            line = int(np.floor(x[0])) + tap
            if padding_mode == "border":
                line = self._clamp(line, 0, size - 1)
            elif padding_mode == "reflection":
                line = int(self._gs_reflect(line, *outer))
            if 0 <= line < size:
                lines[line] = self._interpolate(one, taps, data[line], x[1:], inner, padding_mode)
        return one(lines, x[0], outer, padding_mode)
