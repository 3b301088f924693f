"""Takes the gradients of compiled samplers out of a SavedModel that is to run, not to train."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from stn_tf.errors import ExportError
from stn_tf.export.migration.resampler_nodes import GRADIENTS

# Attributes by which one function names another as its gradient.
_GRADIENT_NAMES = ("backward_function_name", "forward_function_name")


def drop_gradients(meta_graph: meta_graph_pb2.MetaGraphDef) -> tuple[str, ...]:
    """Removes what computes a sampler's gradient, and what needs that.

    Returns:
        The names of the functions, and of the nodes of the main graph, that were removed.

    Raises:
        ExportError: If a signature, or saving and restoring, needs one of them.
    """
    graph = meta_graph.graph_def
    functions = _tainted_functions(meta_graph)
    nodes = _tainted_nodes(graph.node, functions)
    for purpose, tensor in _wanted(meta_graph):
        name = _node_name(tensor)
        if name in nodes:
            raise ExportError(
                f"{purpose} computes the gradient of a sampler ({nodes[name]}), which has no "
                "counterpart in stock operations. Save the model again with signatures that infer "
                "only."
            )
    kept = [
        function for function in graph.library.function if function.signature.name not in functions
    ]
    for function in kept:
        for attribute in _GRADIENT_NAMES:
            if attribute in function.attr and function.attr[attribute].s.decode() in functions:
                del function.attr[attribute]
    _keep(graph.library.function, kept)
    _keep(graph.node, [node for node in graph.node if node.name not in nodes])
    gradients = graph.library.gradient
    _keep(
        gradients,
        [g for g in gradients if not {g.function_name, g.gradient_func} & set(functions)],
    )
    registered = graph.library.registered_gradients
    _keep(registered, [g for g in registered if g.gradient_func not in functions])
    for collection in meta_graph.collection_def.values():
        names = collection.node_list.value
        _keep(names, [name for name in names if _node_name(name) not in nodes])
    _drop_objects(meta_graph, functions)
    return (*functions, *nodes)


def _tainted_functions(meta_graph: meta_graph_pb2.MetaGraphDef) -> dict[str, str]:
    """The functions that hold a gradient or call one that does, with the operation."""
    found: dict[str, str] = {}
    library = meta_graph.graph_def.library.function
    while True:
        size = len(found)
        for function in library:
            if function.signature.name not in found:
                reasons = (reason for n in function.node_def if (reason := _reason(n, found)))
                if reason := next(reasons, None):
                    found[function.signature.name] = reason
        if len(found) == size:
            return found


def _tainted_nodes(
    nodes: Iterable[node_def_pb2.NodeDef], functions: dict[str, str]
) -> dict[str, str]:
    """The same for nodes of the main graph, and for all that read them."""
    found: dict[str, str] = {}
    while True:
        size = len(found)
        for node in nodes:
            if node.name not in found:
                sources = (found.get(_node_name(name)) for name in node.input)
                if reason := _reason(node, functions) or next(filter(None, sources), None):
                    found[node.name] = reason
        if len(found) == size:
            return found


def _reason(node: node_def_pb2.NodeDef, functions: dict[str, str]) -> str | None:
    if node.op in GRADIENTS:
        return node.op
    if node.op in functions:
        return functions[node.op]
    for value in node.attr.values():
        for callee in (value.func, *value.list.func):
            if callee.name in functions:
                return functions[callee.name]
    return None


def _wanted(meta_graph: meta_graph_pb2.MetaGraphDef) -> Iterator[tuple[str, str]]:
    """What must stay: a purpose and a tensor."""
    for name, signature in meta_graph.signature_def.items():
        for output in signature.outputs.values():
            yield f"The signature {name}", output.name
    saver = meta_graph.saver_def
    for tensor in (saver.filename_tensor_name, saver.save_tensor_name, saver.restore_op_name):
        yield "Saving or restoring", tensor


def _drop_objects(meta_graph: meta_graph_pb2.MetaGraphDef, functions: dict[str, str]) -> None:
    """A function object stays, without what it can no longer call."""
    objects = meta_graph.object_graph_def
    for name in functions:
        if name in objects.concrete_functions:
            del objects.concrete_functions[name]
    for node in objects.nodes:
        if node.WhichOneof("kind") == "function":
            names = node.function.concrete_functions
            _keep(names, [name for name in names if name not in functions])
        elif node.bare_concrete_function.concrete_function_name in functions:
            node.user_object.identifier = "_generic_user_object"
            node.user_object.version.producer = node.user_object.version.min_consumer = 1


def _keep(repeated: Any, kept: Sequence[Any]) -> None:
    del repeated[:]
    repeated.extend(kept)


def _node_name(tensor: str) -> str:
    return tensor.removeprefix("^").split(":")[0]
