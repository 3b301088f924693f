"""Writes TensorFlow's ImageProjectiveTransform as one of our samplers.

Keras's layers `RandomRotation`, `RandomZoom`, `RandomTranslation` and its
`keras.ops.image.affine_transform` are this operation, which ONNX does not have. Its transforms
`[N or 1, 8]` map pixels of the output, (x, y), to pixels of the input.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from onnx import TensorProto
from tensorflow.core.framework import node_def_pb2
from tensorflow.python.framework import tensor_util

from stn_tf.errors import ExportError
from stn_tf.export.conversion.sampler_handler import add_sampler, finish
from stn_tf.export.sampler_spec import SamplerSpec
from stn_tf.export.tensorflow.functions import ConcreteFunction

OPERATIONS = ("ImageProjectiveTransformV2", "ImageProjectiveTransformV3")
_KERNELS = {"BILINEAR": "bilinear", "NEAREST": "nearest"}
_PADDINGS = {"CONSTANT": "zeros", "NEAREST": "border", "REFLECT": "reflection"}
_INTEGERS = (TensorProto.INT32, TensorProto.INT64)
_FLOAT = TensorProto.FLOAT
# TensorFlow cuts fractions off. A sum of weights that is 1 but for rounding must not lose a step.
_ROUNDING = 1e-3


def samplers_of(function: ConcreteFunction) -> Iterator[SamplerSpec]:
    """Yields how the operations in a concrete function sample."""
    graph = function.graph.as_graph_def()
    bodies = (body.node_def for body in graph.library.function)
    for node in (node for nodes in (graph.node, *bodies) for node in nodes):
        if node.op in OPERATIONS:
            yield _spec(node)


def _spec(node: node_def_pb2.NodeDef) -> SamplerSpec:
    interpolation = node.attr["interpolation"].s.decode()
    fill_mode = node.attr["fill_mode"].s.decode() or "CONSTANT"
    if interpolation not in _KERNELS or fill_mode not in _PADDINGS:
        raise ExportError(
            f"The model cannot be converted to ONNX: `{node.name}` transforms images with fill "
            f"mode {fill_mode} and interpolation {interpolation}, and ONNX has no such sampler. "
            "Use fill mode constant, nearest or reflect, and interpolation bilinear or nearest."
        )
    kernel = _KERNELS[interpolation]
    points = "grid" if kernel == "nearest" else "projective"
    return SamplerSpec(kernel, _PADDINGS[fill_mode], False, points)


def settle_sizes(graph: tf.Graph) -> None:
    """Tells every operation in a graph its output's size, where that is its input's.

    TensorFlow 2.21 infers it only from constants, and Keras takes it from the images' shape.
    """
    for operation in graph.get_operations():
        if operation.type in OPERATIONS:
            size = tensor_util.constant_value_as_shape(operation.inputs[2])
            operation.outputs[0].set_shape([None, *size.with_rank(2), None])


def handler(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Replaces the node in tf2onnx's graph."""
    kernel = _KERNELS[node.get_attr_str("interpolation")]
    padding = _PADDINGS[node.get_attr_str("fill_mode") if "fill_mode" in node.attr else "CONSTANT"]
    images, transforms = node.input[:2]
    fill = node.input[3] if len(node.input) > 3 and not _is_zero(node.inputs[3]) else None
    output = node.output[0]
    dtype, shape = ctx.get_dtype(output), ctx.get_shape(output)
    _, height, width, _ = ctx.get_shape(images) or [-1] * 4
    _, *size, _ = shape or [-1] * 4
    if min(height, width, *size) < 1:
        raise ExportError(
            f"The model cannot be converted to ONNX: `{node.name}` transforms images of an unknown "
            "size, or to one. Give the model's input and the operation's output a height and width."
        )
    if kernel == "bilinear" and dtype in _INTEGERS:
        raise ExportError(
            f"The model cannot be converted to ONNX: `{node.name}` transforms whole numbers with "
            "interpolation bilinear, which float32 cannot tell apart. Cast the images to float32."
        )
    ctx.remove_node(node.name)
    graph = _Nodes(ctx, name)
    images = graph.cast(images)
    transforms = graph.one_an_image(transforms, images)
    if fill is not None and padding == "zeros":
        fill = graph.cast(fill)
        images = graph.add("Sub", images, fill)
    spec = SamplerSpec(kernel, padding, False)
    if kernel == "bilinear":
        points = _theta(graph, transforms, (height, width), size)
        spec = spec._replace(points="projective", size=tuple(size))
    else:
        points = _nearest_pixels(graph, transforms, (height, width), size, padding)
    made = add_sampler(ctx, name, spec, (images, points), shape)
    if fill is not None and padding == "zeros":
        made = graph.add("Add", made, fill)
    if kernel == "bilinear" and dtype == TensorProto.UINT8:
        made = graph.add("Add", made, graph.constant(_ROUNDING))
    finish(ctx, made, output, dtype, shape)


def _is_zero(node: Any) -> bool:
    return bool(node.is_const() and np.all(node.get_tensor_value(as_list=False) == 0))


class _Nodes:
    """tf2onnx's graph; every method adds nodes to it and returns the name of a tensor."""

    def __init__(self, ctx: Any, name: str) -> None:
        self._ctx = ctx
        self._name = name

    def add(self, op: str, *inputs: str, outputs: int = 1, dtype: int = _FLOAT, **attr: Any) -> Any:
        made = self._ctx.make_node(
            op, list(inputs), attr=attr, output_count=outputs, dtypes=[dtype] * outputs
        )
        return made.output[0] if outputs == 1 else list(made.output)

    def cast(self, value: str) -> str:
        same = self._ctx.get_dtype(value) == _FLOAT
        return value if same else str(self.add("Cast", value, to=_FLOAT))

    def constant(self, value: Any, dtype: type = np.float32) -> str:
        from tf2onnx import utils

        unique = utils.make_name(f"{self._name}_constant")
        made: str = self._ctx.make_const(unique, np.asarray(value, dtype)).output[0]
        return made

    def whole(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def one_an_image(self, transforms: str, images: str) -> str:
        """The transforms `[N or 1, 8]` as `[N, 8]`."""
        whole = TensorProto.INT64
        shape = self.add("Shape", images, dtype=whole)
        count = self.add("Slice", shape, self.whole(0), self.whole(1), dtype=whole)
        wanted = self.add("Concat", count, self.whole(1), axis=0, dtype=whole)
        return str(self.add("Expand", self.cast(transforms), wanted))


def _theta(graph: _Nodes, transforms: str, source: Any, size: Any) -> str:
    """The transforms of pixels `[N, 8]` as ours of normalised points: in_ @ transform @ out."""
    (height, width), (rows, columns) = source, size
    out = np.array([[columns / 2, 0, (columns - 1) / 2], [0, rows / 2, (rows - 1) / 2], [0, 0, 1]])
    in_ = np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])
    # Linear in the nine numbers; as sums of products, as in export/onnx_passes/functions.py.
    linear = [(in_ @ one.reshape(3, 3) @ out).ravel() for one in np.eye(9)]
    nine = graph.add("Pad", transforms, graph.whole(0, 0, 0, 1), graph.constant(1.0))
    nine = graph.add("Unsqueeze", nine, graph.whole(2))
    nine = graph.add("Mul", nine, graph.constant(linear))
    nine = graph.add("ReduceSum", nine, graph.whole(1), keepdims=0)
    eight, last = graph.add("Split", nine, graph.whole(8, 1), outputs=2, axis=1)
    return str(graph.add("Div", eight, last))


def _nearest_pixels(graph: _Nodes, transforms: str, source: Any, size: Any, padding: str) -> str:
    """The grid `[N, h, w, 2]` of the pixels' centres that TensorFlow reads.

    It computes and rounds in pixels, halves away from zero (after reflection), and ONNX normalised
    and to even: a shift by half a pixel would be another image.
    """
    (height, width), (rows, columns) = source, size
    y, x = (graph.constant(axis.ravel()[np.newaxis]) for axis in np.indices((rows, columns)))
    entries = graph.add("Split", transforms, graph.whole(*[1] * 8), outputs=8, axis=1)

    def sums(*line: str) -> str:
        first, second, third = line
        both = graph.add("Add", graph.add("Mul", first, x), graph.add("Mul", second, y))
        return str(graph.add("Add", both, third))

    depth = sums(*entries[6:], graph.constant(1.0))
    axes = []
    for line, length in ((entries[:3], width), (entries[3:6], height)):
        pixel = graph.add("Div", sums(*line), depth)
        boolean = TensorProto.BOOL
        up = graph.add("GreaterOrEqual", pixel, graph.constant(0.0), dtype=boolean)
        if padding == "reflection":
            last = graph.constant(length - 1.0)
            inside = graph.add("LessOrEqual", pixel, last, dtype=boolean)
            up = graph.add("And", up, inside, dtype=boolean)
        half = graph.constant(0.5)
        above = graph.add("Floor", graph.add("Add", pixel, half))
        below = graph.add("Ceil", graph.add("Sub", pixel, half))
        pixel = graph.add("Where", up, above, below)
        point = graph.add("Mul", pixel, graph.constant(2 / length))
        point = graph.add("Add", point, graph.constant(1 / length - 1))
        axes.append(graph.add("Unsqueeze", point, graph.whole(2)))
    points = graph.add("Concat", *axes, axis=2)
    return str(graph.add("Reshape", points, graph.whole(0, rows, columns, 2)))
