"""The three forms in which a file can hold its samplers: dual, standard and custom."""

import math
from collections.abc import Iterable

import numpy as np
import onnx
import onnx.inliner
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from stn_tf.export.onnx_functions import VERSION, sampler_functions
from stn_tf.export.onnx_sampler import AFFINE, DOMAIN, GRID_SAMPLE, PROJECTIVE

FORMS = ("dual", "standard", "custom")
# What a function computes of its attributes alone.
_FOLDED = frozenset(
    ("Constant", "Cast", "Range", "Unsqueeze", "Concat", "Expand", "Reshape", "Add", "Sub")
) | {"Mul", "Div", "Min", "Max"}


def opset_of(model: onnx.ModelProto) -> int:
    """Returns the version of ONNX's own operations that a file uses."""
    return int(next(entry.version for entry in model.opset_import if entry.domain == ""))


def dual(model: onnx.ModelProto) -> onnx.ModelProto:
    """Adds the functions of the samplers that a file holds, in place."""
    used = {node.op_type for node in nodes(model.graph) if node.domain == DOMAIN}
    if used & {AFFINE, PROJECTIVE}:
        used.add(GRID_SAMPLE)  # They call it.
    functions = sampler_functions(opset_of(model))
    for name in functions:
        if name in used:
            model.functions.append(functions[name])
    if used and all(entry.domain != DOMAIN for entry in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
    return model


def standard(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a file in dual form without functions: each in the place of its node, constants
    computed, transposes that undo each other gone.
    """
    inlined = onnx.inliner.inline_local_functions(model)
    del inlined.functions[:]
    _fold_constants(inlined.graph)
    _drop_needless(inlined.graph)
    _name_nodes(inlined.graph)
    kept = [entry for entry in inlined.opset_import if entry.domain != DOMAIN]
    del inlined.opset_import[:]
    inlined.opset_import.extend(kept)
    return inlined


def nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Returns all nodes, those of loops and branches included."""
    found = list(graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                found.extend(nodes(inner))
    return found


def is_sampler(node: onnx.NodeProto) -> bool:
    """Whether a node is a sampler, ours or ONNX's own."""
    return node.domain == DOMAIN or (node.domain == "" and node.op_type == GRID_SAMPLE)


def _fold_constants(graph: onnx.GraphProto) -> None:
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made: dict[str, np.ndarray] = {}
    kept = []
    for node in graph.node:
        inputs = [name for name in node.input if name]
        if node.op_type in _FOLDED and not node.domain and all(n in known for n in inputs):
            values = ReferenceEvaluator(node).run(None, {name: known[name] for name in inputs})
            made |= dict(zip(node.output, map(np.asarray, values), strict=True))
            known |= made
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    read = _read(graph)
    stored = {tensor.name for tensor in graph.initializer}
    for name, value in made.items():
        if name in read and name not in stored:
            graph.initializer.append(numpy_helper.from_array(value, name))
    unread = [tensor for tensor in graph.initializer if tensor.name not in read]
    for tensor in unread:
        graph.initializer.remove(tensor)


def _drop_needless(graph: onnx.GraphProto) -> None:
    """Removes products with ones, and transposes that undo the one before."""
    ones = {
        tensor.name
        for tensor in graph.initializer
        if math.prod(tensor.dims) <= 3 and np.all(numpy_helper.to_array(tensor) == 1.0)
    }
    outputs = {value.name for value in graph.output}
    made = {name: node for node in graph.node for name in node.output}
    instead: dict[str, str] = {}
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
        if node.op_type == "Mul" and node.input[1] in ones and node.output[0] not in outputs:
            instead[node.output[0]] = node.input[0]
        before = made.get(node.input[0]) if node.op_type == "Transpose" else None
        if before is not None and before.op_type == "Transpose":
            first, second = _perm(before), _perm(node)
            undone = [first[axis] for axis in second] == list(range(len(first)))
            if undone and node.output[0] not in outputs:
                instead[node.output[0]] = before.input[0]
    drop_unread(graph)


def drop_unread(graph: onnx.GraphProto) -> None:
    """Removes nodes and constants that nothing reads."""
    while True:
        read = _read(graph)
        dead = [node for node in graph.node if not read.intersection(node.output)]
        if not dead:
            break
        for node in dead:
            graph.node.remove(node)
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in read]:
        graph.initializer.remove(tensor)


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Gives the nodes of functions names: they have none."""
    taken = {node.name for node in nodes(graph)}
    for index, node in enumerate(graph.node):
        if not node.name:
            node.name = f"{node.op_type}__stn_tf_{index}"
            assert node.name not in taken


def _perm(node: onnx.NodeProto) -> list[int]:
    return list(next(attribute.ints for attribute in node.attribute if attribute.name == "perm"))


def _read(graph: onnx.GraphProto) -> set[str]:
    """The names of all tensors that anything reads."""
    inner: Iterable[str] = (name for node in nodes(graph) for name in node.input)
    return {*inner, *(value.name for value in graph.output)}
