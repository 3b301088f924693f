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
    from tf2onnx import utils

    semantics = json.loads(node.get_attr_value("token"))
    images, grid = node.input
    output = node.output[0]
    dtype = ctx.get_dtype(output)
    image_shape = ctx.get_shape(images)
    sizes = image_shape[1:-1]
    points = ctx.get_shape(grid)
    channels_first_shape = [image_shape[0], image_shape[-1], *sizes]
    crops_shape = [points[0], image_shape[-1], *points[1:-1]]
    ctx.remove_node(node.name)

    def make(op: str, inputs: list[str], shape: list[int], dtype: int, **attributes: Any) -> str:
        # tf2onnx's optimisers need the shape and type of every tensor.
        made = ctx.make_node(op, inputs, attr=attributes, shapes=[shape], dtypes=[dtype])
        result: str = made.output[0]
        return result

    def on_grid(op: str, *inputs: str, dtype: int = TensorProto.FLOAT) -> str:
        return make(op, list(inputs), points, dtype)

    def constant(value: float | list[float]) -> str:
        unique = utils.make_name(f"{name}_constant")
        made: str = ctx.make_const(unique, np.asarray(value, np.float32)).output[0]
        return made

    if dtype != TensorProto.FLOAT:
        images = make("Cast", [images], image_shape, TensorProto.FLOAT, to=TensorProto.FLOAT)
    if ctx.get_dtype(grid) != TensorProto.FLOAT:
        grid = make("Cast", [grid], points, TensorProto.FLOAT, to=TensorProto.FLOAT)
    limit = _OUTSIDE_REFLECTED if semantics["padding"] == "reflection" else _OUTSIDE
    low, high = constant(-limit), constant(limit)
    grid = on_grid("Where", on_grid("IsNaN", grid, dtype=TensorProto.BOOL), low, grid)
    grid = on_grid("Clip", grid, low, high)
    if semantics["kernel"] == "bicubic" and semantics["padding"] == "border":
        # ONNX moves a point outside the image to the centre of the nearest pixel and then applies
        # the kernel; ONNX Runtime 1.26 applies the kernel where the point is. Moved here, points
        # read alike on both. Remove when ONNX Runtime moves them.
        if min(sizes) < 1:
            raise ValueError("bicubic with padding border needs images of a known size")
        shifted = on_grid("Add", grid, constant(1.0))
        left = on_grid("Less", shifted, constant(0.0), dtype=TensorProto.BOOL)
        right = on_grid("Greater", shifted, constant(2.0), dtype=TensorProto.BOOL)
        outside = on_grid("Or", left, right, dtype=TensorProto.BOOL)
        edge = [1.0 if semantics["align_corners"] else 1.0 - 1.0 / size for size in sizes[::-1]]
        centre = on_grid("Min", grid, constant(edge))
        centre = on_grid("Max", centre, constant([-value for value in edge]))
        grid = on_grid("Where", outside, centre, grid)
    axes = list(range(1, len(sizes) + 1))
    crops = make(
        "GridSample",
        [
            make(
                "Transpose",
                [images],
                channels_first_shape,
                TensorProto.FLOAT,
                perm=[0, len(sizes) + 1, *axes],
            ),
            grid,
        ],
        crops_shape,
        TensorProto.FLOAT,
        mode=semantics["kernel"],
        padding_mode=semantics["padding"],
        align_corners=int(semantics["align_corners"]),
    )
    if dtype != TensorProto.FLOAT:
        crops = make("Cast", [crops], crops_shape, dtype, to=dtype)
    ctx.make_node(
        "Transpose",
        [crops],
        attr={"perm": [0, *(axis + 1 for axis in axes), 1]},
        name=name,
        outputs=[output],
        shapes=[[*points[:-1], image_shape[-1]]],
        dtypes=[dtype],
    )
