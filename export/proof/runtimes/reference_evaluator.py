"""Runs an ONNX file in ONNX's own reference evaluator: exact, in Python, and slow."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from onnx.reference import ReferenceEvaluator
from onnx.reference.ops import op_grid_sample

from stn_tf.export.proof.comparison import Run


def reference_evaluator(serialized: bytes) -> Run:
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
