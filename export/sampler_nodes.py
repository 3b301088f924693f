"""Finds the samplers in a TensorFlow graph, by the annotation that `grid_sample` leaves there.

The sampler is a function of the graph's library with the attribute `_implements`. For a converter,
its body is replaced by one carrier node that holds the semantics, so that whatever the body was,
one node is left, which the converter maps to the target's own sampler.
"""

import json
from typing import NamedTuple, TypeAlias

import tensorflow as tf
from tensorflow.core.framework import function_pb2, graph_pb2

from stn_tf.sampling.grid_sample import IMPLEMENTS

ConcreteFunction: TypeAlias = tf.types.experimental.ConcreteFunction

# Survives freezing and graph optimisers, is never executed, and has an attribute for any text.
# (Attributes on other nodes, names of functions and Identity nodes do not survive.)
CARRIER = "PyFuncStateless"


class Semantics(NamedTuple):
    """How a sampler reads images; `stn_tf.sampling.grid_sample` describes it."""

    kernel: str
    padding: str
    align_corners: bool


def semantics_in(function: ConcreteFunction) -> tuple[Semantics, ...]:
    """Returns the different semantics of the samplers in a concrete function, sorted."""
    library = function.graph.as_graph_def().library.function
    found = {_semantics(part) for part in library}
    return tuple(sorted(semantics for semantics in found if semantics is not None))


def with_carriers(
    function: ConcreteFunction,
) -> ConcreteFunction:
    """Returns the same concrete function with carriers in place of samplers.

    Args:
        function: A concrete function, fresh or out of a loaded SavedModel.
    """
    graph = function.graph
    graph_def = _replaced(graph.as_graph_def())
    outputs = [tensor.name for tensor in graph.outputs]
    captured = {id(inner): outer for outer, inner in graph.captures}
    arguments = [tensor for tensor in graph.inputs if id(tensor) not in captured]

    def body(*values: tf.Tensor) -> list[tf.Tensor]:
        here = tf.compat.v1.get_default_graph()
        for variable in graph.variables:
            here.watch_variable(variable)
        feeds = {tensor.name: value for tensor, value in zip(arguments, values, strict=True)}
        for outer, inner in graph.captures:
            feeds[inner.name] = here.capture(outer)
        values = tf.graph_util.import_graph_def(
            graph_def, input_map=feeds, return_elements=outputs, name=""
        )
        for value, tensor in zip(values, graph.outputs, strict=True):
            value.set_shape(tensor.shape)
        return [tf.identity(value) for value in values]

    specs = [tf.TensorSpec(t.shape, t.dtype, name=t.op.name) for t in arguments]
    return tf.function(body, input_signature=specs, autograph=False).get_concrete_function()


def _semantics(function: function_pb2.FunctionDef) -> Semantics | None:
    """What the annotation says, or None if the function is no sampler."""
    text = function.attr["_implements"].s.decode() if "_implements" in function.attr else ""
    name, _, semantics = text.partition(" ")
    return Semantics(**json.loads(semantics)) if name == IMPLEMENTS else None


def _replaced(graph_def: graph_pb2.GraphDef) -> graph_pb2.GraphDef:
    renamed: dict[str, str] = {}
    for function in graph_def.library.function:
        semantics = _semantics(function)
        if semantics is None:
            continue
        # A name of its own: TensorFlow keeps one function of a name for the whole process.
        renamed[function.signature.name] = (
            f"stn_tf_carrier_{len(renamed)}_{function.signature.name}"
        )
        function.signature.name = renamed[function.signature.name]
        del function.attr["_implements"]
        _carry(function, semantics)
    bodies = [function.node_def for function in graph_def.library.function]
    for node in (node for nodes in (graph_def.node, *bodies) for node in nodes):
        for value in node.attr.values():
            for callee in (value.func, *value.list.func):
                if callee.name in renamed:
                    callee.name = renamed[callee.name]
    return graph_def


def _carry(function: function_pb2.FunctionDef, semantics: Semantics) -> None:
    """Replaces the body of a sampler's function by a carrier."""
    images, grid = function.signature.input_arg
    (output,) = function.signature.output_arg
    del function.node_def[:], function.signature.control_output[:]
    function.control_ret.clear()
    carrier = function.node_def.add(name="carrier", op=CARRIER, input=[images.name, grid.name])
    carrier.attr["token"].s = json.dumps(semantics._asdict()).encode()
    carrier.attr["Tin"].list.type.extend([images.type, grid.type])
    carrier.attr["Tout"].list.type.append(output.type)
    # The carrier does not know its shape: the grid's points and the images' channels.
    image_shape, grid_shape = (
        function.arg_attr[index].attr["_output_shapes"].list.shape[0] for index in (0, 1)
    )
    shaped = function.node_def.add(name="shaped", op="EnsureShape", input=["carrier:output:0"])
    shaped.attr["T"].type = output.type
    shaped.attr["shape"].shape.dim.extend([*grid_shape.dim[:-1], image_shape.dim[-1]])
    function.ret[output.name] = "shaped:output:0"
