"""Concrete functions with other graphs, and without variables."""

import hashlib
import re
from typing import TypeAlias

import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.python.eager import context
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

ConcreteFunction: TypeAlias = tf.types.experimental.ConcreteFunction


def freeze(function: ConcreteFunction) -> ConcreteFunction:
    """Returns the same concrete function with constants for variables, and functions inlined.

    Control flow stays as it is. Functions are inlined also where they are stateful: only values
    matter here.
    """
    # TensorFlow 2.21 leaves the inlined branches and loops to the whole process under the names
    # that the others had, in which no sampler is found any more.
    apart = with_graph(function, function.graph.as_graph_def(), b"frozen")
    return convert_variables_to_constants_v2(
        apart, lower_control_flow=False, aggressive_inlining=True
    )


def with_graph(
    function: ConcreteFunction, graph_def: graph_pb2.GraphDef, salt: bytes = b""
) -> ConcreteFunction:
    """Returns the same concrete function with another graph of the same inputs and outputs.

    The functions of its library get new names, in place; with another salt others.
    """
    graph = function.graph
    _rename_functions(graph_def, salt)
    # Importing a graph adds its functions to the graph only; they are called, and saved, from here.
    for definition in graph_def.library.function:
        if not context.context().has_function(definition.signature.name):
            context.context().add_function_def(definition)
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


def _rename_functions(graph_def: graph_pb2.GraphDef, salt: bytes) -> None:
    """Gives functions names that tell their content, those that call changed ones included.

    TensorFlow keeps one function of a name for the whole process, and would go on calling that.
    """
    library = graph_def.library
    digest = hashlib.sha256(salt + library.SerializeToString(deterministic=True)).hexdigest()[:8]
    renamed = {}
    for definition in library.function:
        name = definition.signature.name
        renamed[name] = f"{re.sub(r'_stn_[0-9a-f]{8}$', '', name)}_stn_{digest}"
        definition.signature.name = renamed[name]
    bodies = [definition.node_def for definition in library.function]
    for node in (node for nodes in (graph_def.node, *bodies) for node in nodes):
        for value in node.attr.values():
            for callee in (value.func, *value.list.func):
                if callee.name in renamed:  # To set it would make a function of other values.
                    callee.name = renamed[callee.name]
    for gradient in library.gradient:
        gradient.function_name = renamed.get(gradient.function_name, gradient.function_name)
        gradient.gradient_func = renamed.get(gradient.gradient_func, gradient.gradient_func)
