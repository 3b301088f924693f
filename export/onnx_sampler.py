"""Writes a sampler's carrier as ONNX: Transpose, GridSample, Transpose."""

import json
from typing import Any

import numpy as np
from onnx import TensorProto

# Beyond this, in normalised coordinates, every kernel reads nothing but padding: the farthest tap
# of the widest kernel leaves a two-pixel image with aligned corners at 5.
_OUTSIDE = 8.0
# Reflection repeats for ever; float32 loses the pixel long before this.
_OUTSIDE_REFLECTED = 1e4


def grid_sample_handler(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Replaces a carrier node in tf2onnx's graph.

    ONNX Runtime up to 1.26 reads an arbitrary pixel where a point is NaN, infinite or beyond
    2**31 pixels, and so do the bodies of GridSample that cast to an integer first; IsNaN, Where and
    Clip make such points read as outside on every runtime. GridSample is float32 only in most
    runtimes, so other images are cast around it, as the portable sampler computes them.
    """
    semantics = json.loads(node.get_attr_value("token"))
    images, grid = node.input
    output = node.output[0]
    shape, dtype = ctx.get_shape(output), ctx.get_dtype(output)
    spatial = len(ctx.get_shape(grid)) - 2
    ctx.remove_node(node.name)

    def make(op: str, inputs: list[str], **attributes: Any) -> str:
        made: str = ctx.make_node(op, inputs, attr=attributes).output[0]
        return made

    def constant(value: float) -> str:
        made: str = ctx.make_const(f"{name}_limit_{value}", np.float32(value)).output[0]
        return made

    if dtype != TensorProto.FLOAT:
        images = make("Cast", [images], to=TensorProto.FLOAT)
    if ctx.get_dtype(grid) != TensorProto.FLOAT:
        grid = make("Cast", [grid], to=TensorProto.FLOAT)
    limit = _OUTSIDE_REFLECTED if semantics["padding"] == "reflection" else _OUTSIDE
    low, high = constant(-limit), constant(limit)
    grid = make("Where", [make("IsNaN", [grid]), low, grid])
    grid = make("Clip", [grid, low, high])
    axes = list(range(1, spatial + 1))
    channels_first = make("Transpose", [images], perm=[0, spatial + 1, *axes])
    crops = make(
        "GridSample",
        [channels_first, grid],
        mode=semantics["kernel"],
        padding_mode=semantics["padding"],
        align_corners=int(semantics["align_corners"]),
    )
    if dtype != TensorProto.FLOAT:
        crops = make("Cast", [crops], to=dtype)
    ctx.make_node(
        "Transpose",
        [crops],
        attr={"perm": [0, *(axis + 1 for axis in axes), 1]},
        name=name,
        outputs=[output],
        shapes=[shape],
        dtypes=[dtype],
    )
