"""Writes a sampler's carrier as one node of the domain `ai.stn_tf`.

Its attributes `kernel`, `padding`, `align_corners`, and `height` and `width` of the two that take
matrices, are the semantics, which our library for ONNX Runtime reads. Those that begin with `body_`
tell the function that stands in for the node elsewhere (export/onnx_functions.py) how to say the
same with ONNX's GridSample.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto

DOMAIN = "ai.stn_tf"
GRID_SAMPLE, GRID_SAMPLE_3D = "GridSample", "GridSample3D"
AFFINE, PROJECTIVE = "AffineGridSample", "ProjectiveGridSample"

# Beyond this, in normalised coordinates, every kernel reads nothing but padding: the farthest tap
# of the widest kernel leaves a two-pixel image with aligned corners at 5.
_OUTSIDE = 8.0
# Reflection repeats for ever; float32 loses the pixel long before this.
_OUTSIDE_REFLECTED = 1e4
_MARK = f"{DOMAIN}."


def body_attributes(
    kernel: str, padding: str, align_corners: bool, sizes: Sequence[int]
) -> dict[str, Any]:
    """Returns how ONNX's GridSample reads images of `sizes` alike.

    Sizes are (H, W) or (D, H, W), -1 where unknown.

    ONNX Runtime up to 1.26 reads an arbitrary pixel where a point is NaN, infinite or beyond 2**31
    pixels, so points are first moved into [`body_low`, `body_high`], per axis x, y(, z), NaN to its
    lower end. ONNX Runtime's fast path on CPUs is for bilinear with zeros and without aligned
    corners only: `body_scale` turns aligned points into others, and moving points to the outermost
    centres turns border into zeros.
    """
    mode, fallback, aligned = kernel, padding, align_corners
    limit = _OUTSIDE_REFLECTED if padding == "reflection" else _OUTSIDE
    axes = list(reversed(sizes))
    low, high, scale = [-limit] * len(axes), [limit] * len(axes), [1.0] * len(axes)
    if kernel == "bilinear" and padding != "reflection" and min(axes) > 1:
        if padding == "border":
            edges = [1.0 if align_corners else 1.0 - 1.0 / size for size in axes]
            low, high, fallback = [-edge for edge in edges], edges, "zeros"
        if align_corners:
            scale, aligned = [(size - 1.0) / size for size in axes], False
    return {
        "body_mode": mode,
        "body_padding_mode": fallback,
        "body_align_corners": int(aligned),
        "body_low": _short(low),
        "body_high": _short(high),
        "body_scale": _short(scale),
    }


def _short(values: list[float]) -> list[float]:
    """One value where all are equal: ONNX Runtime is far slower where it repeats pairs."""
    return values[:1] if len(set(values)) == 1 else values


def sampler_handler(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Replaces a carrier node in tf2onnx's graph."""
    token = json.loads(node.get_attr_value("token"))
    semantics = tuple(token[key] for key in ("kernel", "padding", "align_corners"))
    images, points = node.input
    output = node.output[0]
    dtype, shape = ctx.get_dtype(output), ctx.get_shape(output)
    ctx.remove_node(node.name)
    operations = {"affine": AFFINE, "projective": PROJECTIVE}
    volumes = len(ctx.get_shape(images)) == 5
    operation = operations.get(token["points"], GRID_SAMPLE_3D if volumes else GRID_SAMPLE)
    size = dict(zip(("height", "width"), token["size"], strict=True)) if token["size"] else {}
    sampled = add_sampler(ctx, name, operation, (images, points), semantics, shape, **size)
    finish(ctx, sampled, output, dtype, shape)


def add_sampler(
    ctx: Any,
    name: str,
    operation: str,
    inputs: tuple[str, str],
    semantics: Sequence[Any],
    shape: Sequence[int],
    **size: int,
) -> str:
    """Adds one of our operations to tf2onnx's graph and returns its output, in float32.

    GridSample is float32 only in most runtimes, so other images are cast, as the portable sampler
    computes them.

    Args:
        ctx: The graph.
        name: A name for the node, which no other has; that of a node that was removed will do.
        operation: A name of our domain.
        inputs: Images, and points or matrices.
        semantics: Kernel, padding and whether corners are aligned.
        shape: Of the output.
        **size: Height and width of the output, for the operations that take matrices.
    """
    kernel, padding, aligned = semantics
    images, points = (cast(ctx, value, TensorProto.FLOAT) for value in inputs)
    sizes = ctx.get_shape(images)[1:-1]
    if kernel == "bicubic" and padding == "border":
        points = _into_image(ctx, name, points, sizes, aligned)
    attributes = {
        **{"kernel": kernel, "padding": padding, "align_corners": int(aligned), **size},
        **body_attributes(kernel, padding, aligned, sizes),
    }
    made = ctx.make_node(
        _MARK + operation,
        [images, points],
        attr=attributes,
        name=name,
        outputs=[f"{name}/samples:0"],
        shapes=[shape],
        dtypes=[TensorProto.FLOAT],
    )
    result: str = made.output[0]
    return result


def restore_domain(nodes: Iterable[NodeProto]) -> None:
    """Moves the operations that `add_sampler` wrote into our domain, in place.

    tf2onnx 1.17 copies nodes into the branches of an If without their domain, and then drops the
    attributes that ONNX's operation of that name lacks. So the name holds the domain until its
    graph is done. Remove when it copies the domain too.
    """
    for node in nodes:
        if node.op_type.startswith(_MARK):
            node.op_type, node.domain = node.op_type.removeprefix(_MARK), DOMAIN


def cast(ctx: Any, value: str, to: int) -> str:
    """Returns a tensor of tf2onnx's graph in another type."""
    if ctx.get_dtype(value) == to:
        return value
    made = ctx.make_node(
        "Cast", [value], attr={"to": to}, shapes=[ctx.get_shape(value)], dtypes=[to]
    )
    result: str = made.output[0]
    return result


def finish(ctx: Any, value: str, output: str, dtype: int, shape: Sequence[int]) -> None:
    """Gives a tensor the name and type of an output whose node was removed."""
    result = cast(ctx, value, dtype)
    ctx.make_node("Identity", [result], outputs=[output], shapes=[shape], dtypes=[dtype])


def _into_image(ctx: Any, name: str, grid: str, sizes: Sequence[int], aligned: bool) -> str:
    """Moves points outside the image to the centre of the nearest pixel.

    ONNX applies the bicubic kernel there; ONNX Runtime 1.26 applies it where the point is. Moved
    before the node, points read alike on both. Remove when ONNX Runtime moves them.
    """
    from tf2onnx import utils

    if min(sizes) < 1:
        raise ValueError("bicubic with padding border needs images of a known size")
    shape = ctx.get_shape(grid)

    def on_grid(op: str, *inputs: str, dtype: int = TensorProto.FLOAT) -> str:
        # tf2onnx's optimisers need the shape and type of every tensor.
        made = ctx.make_node(op, list(inputs), shapes=[shape], dtypes=[dtype])
        result: str = made.output[0]
        return result

    def constant(value: float | list[float]) -> str:
        unique = utils.make_name(f"{name}_constant")
        made: str = ctx.make_const(unique, np.asarray(value, np.float32)).output[0]
        return made

    left = on_grid("Less", grid, constant(-1.0), dtype=TensorProto.BOOL)
    right = on_grid("Greater", grid, constant(1.0), dtype=TensorProto.BOOL)
    outside = on_grid("Or", left, right, dtype=TensorProto.BOOL)
    edge = [1.0 if aligned else 1.0 - 1.0 / size for size in sizes[::-1]]
    centre = on_grid("Min", grid, constant(edge))
    centre = on_grid("Max", centre, constant([-value for value in edge]))
    return on_grid("Where", outside, centre, grid)
