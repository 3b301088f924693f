"""The sizes of the tensors in an ONNX file for one image, and what follows from them."""

import math

import onnx
import onnx.inliner
from onnx import TensorProto, helper, shape_inference

from stn_tf.export.inspection import arithmetic
from stn_tf.export.inspection.arithmetic import Shape, dimension, products, size
from stn_tf.export.inspection.result import SamplerUse
from stn_tf.export.sampler_spec import DOMAIN, GRID_SAMPLE, SamplerSpec, is_ours

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
_WEIGHTS = (*_FLOATS, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT4, TensorProto.UINT4)
_LAYERS = (
    *("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "Gemm", "MatMul", "MatMulInteger"),
    *("QLinearMatMul", "Einsum", "BatchNormalization", "InstanceNormalization"),
    *("LayerNormalization", "GroupNormalization", "PRelu", "LSTM", "GRU", "RNN"),
)
# Between what is stored and the layer that uses it.
_PASSED = ("Cast", "DequantizeLinear", "Identity", "Transpose", "Reshape")


def parameters(model: onnx.ModelProto) -> int:
    """Returns how many numbers are weights: what a file stores for layers that have some.

    Constants of other arithmetic, such as sampling grids, are stored alike, but do not count.
    """
    stored = {t.name: t for t in model.graph.initializer if t.data_type in _WEIGHTS}
    made = {name: node for node in model.graph.node for name in node.output}
    found = set()
    for node in model.graph.node:
        layers = [made[name].op_type in _LAYERS for name in node.input if name in made]
        if node.op_type in _LAYERS or (node.op_type == "Add" and any(layers)):
            for name in node.input:
                while name in made and made[name].op_type in _PASSED:
                    name = made[name].input[0]
                found.add(name)
    return sum(math.prod(stored[name].dims) for name in found if name in stored)


def flat(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model with its functions inlined, but for those of our samplers."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = [function for function in copy.functions if function.domain == DOMAIN]
    if len(kept) < len(copy.functions):
        names = [(function.domain, function.name) for function in kept]
        copy = onnx.inliner.inline_selected_functions(copy, names, exclude=True)
    del copy.functions[:]
    return copy


class Shapes:
    """What shape inference finds for one image.

    It knows nothing of our samplers, whose results are filled in, one after the other.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = onnx.ModelProto()
        self._model.CopyFrom(model)
        graph = self._model.graph
        # Made for a batch of any size, they would stand in the way of knowing more.
        del graph.value_info[:]
        for value in graph.output:
            value.type.tensor_type.ClearField("shape")
        for value in graph.input:
            dims = value.type.tensor_type.shape.dim
            if dims and not dims[0].HasField("dim_value"):
                dims[0].dim_value = 1
        self._infer()
        for node in graph.node:
            if not is_ours(node) or self.of(node.output[0]) is not None:
                continue
            samples = self.samples(node)
            if samples is not None:
                kind = self.dtype(node.input[0]) or TensorProto.FLOAT
                known = [dim if dim >= 0 else None for dim in samples]
                told = helper.make_tensor_value_info(node.output[0], kind, known)
                outputs = [v for v in graph.output if v.name == node.output[0]]
                (outputs[0] if outputs else graph.value_info.add()).CopyFrom(told)
                self._infer()

    def _infer(self) -> None:
        try:
            inferred = shape_inference.infer_shapes(self._model, data_prop=True)
        except Exception:  # Of several kinds; what is not known stays unknown.
            inferred = self._model
        graph = inferred.graph
        self._types = {
            value.name: value.type.tensor_type
            for value in (*graph.value_info, *graph.input, *graph.output)
        }
        self._stored = {tensor.name: tensor for tensor in graph.initializer}

    def of(self, name: str) -> list[int] | None:
        """Returns the shape of a tensor for one image, -1 for what is not known."""
        if name in self._stored:
            return list(self._stored[name].dims)
        kind = self._types.get(name)
        if kind is None or not kind.HasField("shape"):
            return None
        return [dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim]

    def dtype(self, name: str) -> int:
        """Returns the type of a tensor, 0 if it is not known."""
        if name in self._stored:
            return int(self._stored[name].data_type)
        return int(self._types[name].elem_type) if name in self._types else 0

    def samples(self, node: onnx.NodeProto) -> list[int] | None:
        """Returns the shape of what a sampler returns, channels last."""
        spec = SamplerSpec.of_node(node)
        if spec is not None and is_ours(node):
            images, points = (self.of(name) for name in node.input)
            if images is None:
                return None
            if spec.points != "grid":
                return [images[0], *(spec.size or (-1, -1)), images[-1]]
            return None if points is None else [*points[:-1], images[-1]]
        if (node.domain, node.op_type) == ("", GRID_SAMPLE):
            shape = self.of(node.output[0])
            return None if shape is None else [shape[0], *shape[2:], shape[1]]
        return None


def flops(model: onnx.ModelProto, shapes: Shapes, samplers: list[SamplerUse]) -> int | None:
    """Returns the arithmetic for one image, None if a size that it depends on is not known."""
    multiplied = {
        name for node in model.graph.node if node.op_type == "Mul" for name in node.output
    }
    found = [_flops(node, shapes, multiplied) for node in model.graph.node]
    for use in samplers:
        samples = None if use.samples is None else [1, *use.samples]
        found.append(arithmetic.sampler(samples, use.kernel, use.transform))
    known = [count for count in found if count is not None]
    return sum(known) if len(known) == len(found) else None


def _flops(node: onnx.NodeProto, shapes: Shapes, multiplied: set[str]) -> int | None:
    operation = node.op_type

    def shape(index: int) -> Shape:
        return shapes.of(node.input[index])

    output = size(shapes.of(node.output[0])) if node.output else None
    if operation in ("Conv", "ConvInteger", "QLinearConv"):
        weights = shape(3 if operation == "QLinearConv" else 1)
        return products(output, size(weights and weights[1:]))
    if operation == "ConvTranspose":
        weights = shape(1)
        return products(size(shape(0)), size(weights and weights[1:]))
    if operation in ("MatMul", "MatMulInteger", "QLinearMatMul"):
        return products(output, dimension(shape(0), -1))
    if operation == "Gemm":
        turned = any(a.name == "transA" and a.i for a in node.attribute)
        return products(output, dimension(shape(0), 0 if turned else 1))
    if operation == "ReduceSum" and node.input[0] in multiplied:  # As theta is regressed.
        return products(size(shape(0)))
    if operation == "Einsum" and len(node.input) == 2:
        equation = next(a.s.decode() for a in node.attribute if a.name == "equation")
        return arithmetic.einsum(equation, [shape(0), shape(1)])
    return 0
