"""A TensorFlow graph for one image, with the functions that it calls in the place of the calls.

Nothing is run and no variable is read: TensorFlow only works out the shapes.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.python.framework import op_def_registry

from stn_tf.export.inspection import arithmetic
from stn_tf.export.inspection.arithmetic import Shape, dimension, products, size
from stn_tf.export.inspection.result import SamplerUse

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_IMPLEMENTS = ("stn_tf.grid_sample", "stn_tf.warp")
_OPERATIONS = ("StnTf>GridSample", "StnTf>Warp", "Addons>Resampler", "Resampler")


@dataclasses.dataclass(frozen=True)
class _Sampler:
    use: SamplerUse
    output: str


class FlatGraph:
    """What the given outputs of a graph need.

    Attributes:
        nodes: Without those that samplers are made of.
        samplers: Each once: a warp stands for the `grid_sample` within it, too.
    """

    def __init__(self, graph_def: graph_pb2.GraphDef, outputs: Iterable[str]) -> None:
        self._library = {f.signature.name: f for f in graph_def.library.function}
        self._nodes: dict[str, node_def_pb2.NodeDef] = {}
        self._aliases: dict[str, str] = {}
        self._in_sampler: set[str] = set()
        self._samplers: list[_Sampler] = []
        self._expand({node.name: node for node in graph_def.node}, "", False)
        needed = self._needed(_flat(name, {}) for name in outputs)
        self.nodes = [n for n in self._nodes.values() if n.name in needed - self._in_sampler]
        self._graph = self._imported(graph_def, needed)
        made = [s for s in self._samplers if self._node(s.output) in needed]
        self.samplers = tuple(self._with_shape(sampler) for sampler in made)

    def flops(self) -> int | None:
        """Returns the arithmetic for one image, None if a size that it needs is not known."""
        if self._graph is None:
            return None
        found = [_flops(self._graph.get_operation_by_name(node.name)) for node in self.nodes]
        for use in self.samplers:
            samples = None if use.samples is None else [1, *use.samples]
            found.append(arithmetic.sampler(samples, use.kernel, use.transform))
        known = [count for count in found if count is not None]
        return sum(known) if len(known) == len(found) else None

    def _expand(self, nodes: Mapping[str, Any], prefix: str, in_sampler: bool) -> None:
        for node in nodes.values():
            name = prefix + node.name
            inputs = [prefix + _flat(i, nodes) for i in node.input if not i.startswith("^")]
            called = node.attr["f"].func.name if node.op in _CALLS else node.op
            function = self._library.get(called)
            if function is None:
                copy = node_def_pb2.NodeDef(name=name, op=node.op, input=inputs)
                for key, value in node.attr.items():
                    if key not in ("_class", "_output_shapes"):
                        copy.attr[key].CopyFrom(value)
                self._nodes[name] = copy
                if in_sampler:
                    self._in_sampler.add(name)
                elif node.op in _OPERATIONS:
                    self._samplers.append(_Sampler(_of_operation(node), f"{name}:0"))
                continue
            use = _of_function(function)
            if use is not None and not in_sampler:
                self._samplers.append(_Sampler(use, f"{name}:0"))
            inside = f"{name}/"
            body = {inner.name: inner for inner in function.node_def}
            for argument, given in zip(function.signature.input_arg, inputs, strict=True):
                self._aliases[f"{inside}{argument.name}:0"] = given
            for index, output in enumerate(function.signature.output_arg):
                returned = _flat(function.ret[output.name], body)
                self._aliases[f"{name}:{index}"] = inside + returned
            self._expand(body, inside, in_sampler or use is not None)

    def _resolved(self, tensor: str) -> str:
        for _ in range(len(self._aliases) + 1):
            if tensor not in self._aliases:
                return tensor
            tensor = self._aliases[tensor]
        raise ValueError(f"{tensor} is computed from itself")  # In damaged files.

    def _node(self, tensor: str) -> str:
        return self._resolved(tensor).rpartition(":")[0]

    def _needed(self, tensors: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = [self._node(tensor) for tensor in tensors]
        while waiting:
            name = waiting.pop()
            if name in found or name not in self._nodes:
                continue
            found.add(name)
            node = self._nodes[name]
            node.input[:] = [self._resolved(tensor) for tensor in node.input]
            waiting += [self._node(tensor) for tensor in node.input]
        return found

    def _imported(self, source: graph_pb2.GraphDef, needed: set[str]) -> tf.Graph | None:
        graph_def = graph_pb2.GraphDef(versions=source.versions, library=source.library)
        for node in self._nodes.values():
            if node.name in needed:
                copy = graph_def.node.add()
                copy.CopyFrom(node)
                dims = copy.attr["shape"].shape.dim if copy.op == "Placeholder" else ()
                if dims and dims[0].size < 0:
                    dims[0].size = 1
        with tf.Graph().as_default() as graph:
            try:
                tf.graph_util.import_graph_def(graph_def, name="")
            except (ValueError, tf.errors.OpError):  # It has operations that are not loaded here.
                return None
        return graph

    def _with_shape(self, sampler: _Sampler) -> SamplerUse:
        if self._graph is None:
            return sampler.use
        shape = _shape(self._graph.get_tensor_by_name(self._resolved(sampler.output)))
        if shape is None or any(dim < 0 for dim in shape[1:]):
            return sampler.use
        return sampler.use.model_copy(update={"samples": tuple(shape[1:])})


def _flat(tensor: str, nodes: Mapping[str, Any]) -> str:
    """NODE:NUMBER from NODE, or from the NODE:OUTPUT:NUMBER of function bodies."""
    name, *rest = tensor.split(":")
    if len(rest) < 2:
        return tensor if rest else f"{tensor}:0"
    node, index = nodes[name], int(rest[1])
    definition = op_def_registry.get(node.op)
    for output in definition.output_arg if definition is not None else ():
        if output.name == rest[0]:
            break
        if output.number_attr:
            index += node.attr[output.number_attr].i
        else:
            types = node.attr[output.type_list_attr].list.type if output.type_list_attr else (0,)
            index += len(types)
    return f"{name}:{index}"


def _of_function(function: Any) -> SamplerUse | None:
    text = function.attr["_implements"].s.decode() if "_implements" in function.attr else ""
    name, _, options = text.partition(" ")
    if name not in _IMPLEMENTS:
        return None
    found: Mapping[str, Any] = json.loads(options)
    fields = ("transform", "kernel", "padding", "align_corners")
    return SamplerUse(operation=name, **{field: found.get(field) for field in fields})


def _of_operation(node: Any) -> SamplerUse:
    if node.op.endswith("Resampler"):
        return SamplerUse(operation=node.op, kernel="bilinear", padding="zeros", align_corners=True)
    given = {
        key: node.attr[key].s.decode()
        for key in ("transform", "kernel", "padding")
        if key in node.attr
    }
    return SamplerUse(operation=node.op, align_corners=node.attr["align_corners"].b, **given)


def _shape(tensor: Any) -> list[int] | None:
    if tensor.shape.rank is None:
        return None
    return [-1 if dim is None else dim for dim in tensor.shape.as_list()]


def _flops(op: Any) -> int | None:
    def shape(index: int) -> Shape:
        return _shape(op.inputs[index])

    output = size(_shape(op.outputs[0])) if op.outputs else None
    if op.type in ("Conv2D", "Conv3D"):
        weights = shape(1)
        return products(output, size(weights and weights[:-1]))
    if op.type == "DepthwiseConv2dNative":
        weights = shape(1)
        return products(output, size(weights and weights[:2]))
    if op.type in ("Conv2DBackpropInput", "Conv3DBackpropInputV2"):  # A transposed convolution.
        weights = shape(1)
        return products(size(shape(2)), size(weights and weights[:-1]))
    if op.type == "MatMul":
        turned = op.get_attr("transpose_a"), op.get_attr("transpose_b")
        depth = dimension(shape(0), 0 if turned[0] else 1)
        return products(output, depth or dimension(shape(1), 1 if turned[1] else 0))
    if op.type in ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"):
        return products(output, dimension(shape(0), -2 if op.get_attr("adj_x") else -1))
    if op.type == "Sum" and op.inputs[0].op.type == "Mul":  # As theta is regressed.
        return products(size(shape(0)))
    if op.type == "Einsum" and len(op.inputs) == 2:
        equation = op.get_attr("equation").decode()
        return arithmetic.einsum(equation, [shape(0), shape(1)])
    return 0
