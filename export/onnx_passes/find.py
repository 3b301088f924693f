"""Finds nodes in an ONNX file, wherever they are: in branches, loops and functions too."""

from collections.abc import Iterable

from onnx import GraphProto, ModelProto, NodeProto

from stn_tf.export.sampler_spec import DOMAIN, is_sampler


def nodes(graph: GraphProto) -> list[NodeProto]:
    """Returns all nodes of a graph, those of loops and branches included."""
    return _with_inner(graph.node)


def samplers_in(model: ModelProto) -> list[NodeProto]:
    """Returns the samplers of a file, ours or ONNX's own, each once.

    The functions that stand in for ours are no samplers beside them.
    """
    bodies = [function.node for function in model.functions if function.domain != DOMAIN]
    found = [*nodes(model.graph), *(node for body in bodies for node in _with_inner(body))]
    return [node for node in found if is_sampler(node)]


def opset_of(model: ModelProto) -> int:
    """Returns the version of ONNX's own operations that a file uses."""
    return int(next(entry.version for entry in model.opset_import if entry.domain == ""))


def _with_inner(given: Iterable[NodeProto]) -> list[NodeProto]:
    found = list(given)
    for node in list(found):
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                found.extend(nodes(inner))
    return found
