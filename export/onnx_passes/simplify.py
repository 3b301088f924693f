"""Leaves out of a graph what provably changes nothing: constants are computed, needless nodes gone.

Loops and branches are left as they are, and so is every tensor that they read.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

# What a function computes of its attributes alone.
_FOLDED = frozenset(
    ("Constant", "Cast", "Range", "Unsqueeze", "Concat", "Expand", "Reshape", "Add", "Sub")
) | {"Mul", "Div", "Min", "Max"}


def simplify(model: onnx.ModelProto) -> None:
    """Folds constants; drops products with ones, and transposes that undo each other; in place."""
    _fold_constants(model.graph)
    _drop_needless(model)


def drop_unread(graph: onnx.GraphProto) -> None:
    """Removes nodes and constants that nothing reads."""
    while True:
        read = set(_read(graph))
        kept = [node for node in graph.node if read.intersection(node.output)]
        if len(kept) == len(graph.node):
            break
        del graph.node[:]
        graph.node.extend(kept)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)


def _fold_constants(graph: onnx.GraphProto) -> None:
    # Who feeds an input may give another value than its default.
    outside = {value.name for value in (*graph.input, *graph.output)}
    known = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tensor.name not in outside
    }
    kept = []
    for node in graph.node:
        values = None if outside.intersection(node.output) else _value(node, known)
        if values is None:
            kept.append(node)
            continue
        known |= values
        graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in values.items())
    del graph.node[:]
    graph.node.extend(kept)
    drop_unread(graph)


def _value(node: onnx.NodeProto, known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """What a node gives, or None where that is no constant of numbers."""
    inputs = [name for name in node.input if name]
    if node.domain or node.op_type not in _FOLDED or not all(name in known for name in inputs):
        return None
    values = ReferenceEvaluator(node).run(None, {name: known[name] for name in inputs})
    found = dict(zip(node.output, map(np.asarray, values), strict=True))
    numbers = all(value.dtype.kind in "biuf" for value in found.values())
    return found if numbers else None


def _drop_needless(model: onnx.ModelProto) -> None:
    graph = model.graph
    outputs = {value.name for value in graph.output}
    made = {name: node for node in graph.node for name in node.output}
    ones = {
        tensor.name: len(tensor.dims)
        for tensor in graph.initializer
        if list(tensor.dims) == [1] * len(tensor.dims) and numpy_helper.to_array(tensor) == 1
    }
    ranks = _ranks(model)
    instead: dict[str, str] = {}
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
        if node.domain or outputs.intersection(node.output):
            continue
        if node.op_type == "Mul":
            same = _multiplied(node, ones, ranks)
        elif node.op_type == "Transpose":
            same = _transposed_back(node, made.get(node.input[0]))
        else:
            continue
        if same is not None:
            instead[node.output[0]] = same
    drop_unread(graph)


def _multiplied(
    node: onnx.NodeProto, ones: Mapping[str, int], ranks: Mapping[str, int]
) -> str | None:
    """What a node multiplies by a single one, which must not add dimensions to it."""
    for value, factor in (node.input, reversed(node.input)):
        if factor in ones and ones[factor] <= ranks.get(value, 0):
            return value
    return None


def _transposed_back(node: onnx.NodeProto, before: onnx.NodeProto | None) -> str | None:
    """What was transposed before and is now as it was."""
    if before is None or before.domain or before.op_type != "Transpose":
        return None
    first, second = _perm(before), _perm(node)
    undone = first and second and [first[axis] for axis in second] == list(range(len(first)))
    return before.input[0] if undone else None


def _perm(node: onnx.NodeProto) -> list[int]:
    """Empty where all axes are reversed."""
    return next((list(entry.ints) for entry in node.attribute if entry.name == "perm"), [])


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info):
        if value.type.tensor_type.HasField("shape"):
            known[value.name] = len(value.type.tensor_type.shape.dim)
    return known


def _read(graph: onnx.GraphProto) -> Iterator[str]:
    """The names of all tensors that anything reads, in loops and branches too."""
    yield from (value.name for value in graph.output)
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _read(inner)
