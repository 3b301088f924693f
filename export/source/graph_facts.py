"""What a graph proves of a model: that an output is a softmax or a sigmoid, that an input is bytes.

Names of layers and Python objects prove nothing: models are nested, subclassed, or written in
operations. The frozen graph, in which every function is inlined, is the model.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2

from stn_tf.export.tensorflow.functions import ConcreteFunction, freeze

# What hands numbers on as they are.
_SAME = frozenset(
    ("Identity", "IdentityN", "EnsureShape", "StopGradient", "PreventGradient", "CheckNumerics")
) | {"Cast", "Snapshot"}
# What keeps the last axis if its length stays.
_RESHAPES = frozenset(("Reshape", "Squeeze", "ExpandDims"))
# One over these makes bytes numbers in 0..1, -1..1 or nearly that: Keras's Rescaling as its
# networks have it.
_BYTE_SCALES = (255.0, 127.5, 128.0, 127.0, 256.0)

# What sums many products, and so rounds.
_SUMS = {
    "Conv2D",
    "Conv2DBackpropInput",
    "Conv3D",
    "Conv3DBackpropInputV2",
    "DepthwiseConv2dNative",
    "Einsum",
    "BatchMatMulV2",
    "MatMul",
}


class GraphFacts:
    """A frozen graph to be asked.

    Args:
        function: The model's own outputs of its inputs, both in order.
    """

    def __init__(self, function: ConcreteFunction) -> None:
        frozen = freeze(function)
        self._graph = frozen.graph
        graph_def: graph_pb2.GraphDef = frozen.graph.as_graph_def()
        self._nodes = {node.name: node for node in graph_def.node}
        self._outputs = [tensor.name for tensor in frozen.outputs]
        self._inputs = [tensor.op.name for tensor in frozen.inputs]

    def activation(self, output: int) -> str | None:
        """Returns `softmax` or `sigmoid` if an output is one of its last axis; else None."""
        name = self._outputs[output]
        length = self._last(name)
        while True:
            node = self._nodes[_node(name)]
            if node.op in ("Softmax", "Sigmoid"):
                return node.op.lower() if self._last(name) == length else None
            if node.op in _RESHAPES and self._last(name) != length:
                return None
            if node.op not in (*_SAME, *_RESHAPES):
                return None
            name = node.input[_index(name) if node.op == "IdentityN" else 0]

    def takes_bytes(self, which: int) -> bool:
        """Whether the first thing done to an input is to scale bytes down."""
        names = {self._inputs[which]}
        while True:
            readers = [
                node
                for node in self._nodes.values()
                if any(_node(name) in names for name in node.input if not name.startswith("^"))
                and node.name not in names
                and node.op != "Shape"
            ]
            if not readers or not all(node.op in _SAME for node in readers):
                break
            names = {node.name for node in readers}
        return bool(readers) and all(self._scales_bytes(node, names) for node in readers)

    def _scales_bytes(self, node: node_def_pb2.NodeDef, names: set[str]) -> bool:
        if node.op not in ("Mul", "RealDiv"):
            return False
        (factor,) = [name for name in node.input if _node(name) not in names] or [None]
        value = None if factor is None else self._constant(factor)
        if value is None or value.size != 1:
            return False
        scale = float(value.reshape(())) if node.op == "RealDiv" else 1.0 / float(value.reshape(()))
        return any(abs(scale - one) < 1e-3 * one for one in _BYTE_SCALES)

    def _constant(self, name: str) -> np.ndarray | None:
        node = self._nodes[_node(name)]
        while node.op in _SAME and node.input:
            node = self._nodes[_node(node.input[0])]
        if node.op != "Const":
            return None
        return np.asarray(tf.make_ndarray(node.attr["value"].tensor), np.float64)

    def _last(self, name: str) -> int | None:
        if ":" not in name:
            name = f"{name}:0"
        shape: Sequence[int | None] | None = self._graph.get_tensor_by_name(name).shape
        if shape is None or tf.TensorShape(shape).rank in (None, 0):
            return None
        return tf.TensorShape(shape)[-1]


def _node(name: str) -> str:
    return name.lstrip("^").partition(":")[0]


def _index(name: str) -> int:
    return int(name.partition(":")[2] or 0)


def depth_of(tensor: tf.Tensor) -> int:
    """Returns how many convolutions and matrix products lead to a tensor, one after the other.

    Args:
        tensor: Of a graph. What is in functions that the graph calls is not counted.
    """
    depths: dict[str, int] = {}
    waiting = [tensor.op]
    while waiting:
        op = waiting[-1]
        before = [value.op for value in op.inputs]
        missing = [other for other in before if other.name not in depths]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        own = int(op.type in _SUMS)
        depths[op.name] = own + max((depths[other.name] for other in before), default=0)
    return depths[tensor.op.name]
