"""Writes samplers into tf2onnx's graph, each as one node of the domain `ai.stn_tf`."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto

from stn_tf.export.sampler_spec import DOMAIN, SamplerSpec

_MARK = f"{DOMAIN}."


def sampler_handler(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Replaces a carrier node in tf2onnx's graph."""
    spec = SamplerSpec.from_json(node.get_attr_value("token"))
    images, points = node.input
    output = node.output[0]
    dtype, shape = ctx.get_dtype(output), ctx.get_shape(output)
    ctx.remove_node(node.name)
    sampled = add_sampler(ctx, name, spec, (images, points), shape)
    finish(ctx, sampled, output, dtype, shape)


def add_sampler(
    ctx: Any,
    name: str,
    spec: SamplerSpec,
    inputs: tuple[str, str],
    shape: Sequence[int],
) -> str:
    """Adds one of our operations to tf2onnx's graph and returns its output, in float32.

    GridSample is float32 only in most runtimes, so other images are cast, as the portable sampler
    computes them.

    Args:
        ctx: The graph.
        name: A name for the node, which no other has; that of a node that was removed will do.
        spec: What it samples, and how.
        inputs: Images, and points or matrices.
        shape: Of the output.
    """
    images, points = (cast(ctx, value, TensorProto.FLOAT) for value in inputs)
    sizes = ctx.get_shape(images)[1:-1]
    if spec.kernel == "bicubic" and spec.padding == "border":
        points = _into_image(ctx, name, points, sizes, spec.align_corners)
    made = ctx.make_node(
        _MARK + spec.operation,
        [images, points],
        attr=spec.attributes(sizes),
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
