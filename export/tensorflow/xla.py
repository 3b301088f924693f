"""Graphs without `jit_compile=True`, which a TensorFlow Serving that has XLA off cannot run.

Keras (3.15) compiles grouped convolutions with XLA, which TensorFlow's processor kernels could not
differentiate; for inference they need none, and where every group is one channel there is an
operation of its own.
"""

import tensorflow as tf
from tensorflow.core.framework import function_pb2, graph_pb2, node_def_pb2

from stn_tf.export.tensorflow.functions import ConcreteFunction, with_graph
from stn_tf.export.tensorflow.stock import MUST_COMPILE, must_compile


def without_xla(function: ConcreteFunction) -> ConcreteFunction:
    """Returns the same concrete function with nothing in it that must be compiled by XLA."""
    graph_def: graph_pb2.GraphDef = function.graph.as_graph_def()
    compiled = [f for f in graph_def.library.function if must_compile(f.attr)]
    nodes = [*graph_def.node, *(n for f in graph_def.library.function for n in f.node_def)]
    if not compiled and not any(must_compile(node.attr) for node in nodes):
        return function
    for definition in graph_def.library.function:
        definition.attr.pop(MUST_COMPILE, None)
        if any(definition is one for one in compiled):
            _use_depthwise(definition)
    for node in nodes:
        node.attr.pop(MUST_COMPILE, None)
    return with_graph(function, graph_def)


def _use_depthwise(definition: function_pb2.FunctionDef) -> None:
    """Turns convolutions of one channel a group into the operation that is made for them."""
    shapes = {
        argument.name: _shape(definition, index)
        for index, argument in enumerate(definition.signature.input_arg)
    }
    for node in list(definition.node_def):
        if node.op != "Conv2D" or node.attr["data_format"].s not in (b"", b"NHWC"):
            continue
        images, weights = (_source(definition, name) for name in node.input[:2])
        image_shape, weight_shape = shapes.get(images), shapes.get(weights)
        if image_shape is None or weight_shape is None or None in weight_shape:
            continue
        height, width, depth, channels = weight_shape
        if depth != 1 or image_shape[-1] != channels:
            continue
        size = definition.node_def.add(name=f"{node.name}_stn_tf_size", op="Const")
        size.attr["dtype"].type = tf.int32.as_datatype_enum
        size.attr["value"].tensor.CopyFrom(
            tf.make_tensor_proto([height, width, channels, 1], tf.int32)
        )
        turned = definition.node_def.add(
            name=f"{node.name}_stn_tf_weights",
            op="Reshape",
            input=[node.input[1], f"{size.name}:output:0"],
        )
        turned.attr["T"].type = node.attr["T"].type
        turned.attr["Tshape"].type = tf.int32.as_datatype_enum
        node.op = "DepthwiseConv2dNative"
        node.input[1] = f"{turned.name}:output:0"
        for name in ("use_cudnn_on_gpu",):
            node.attr.pop(name, None)


def _shape(definition: function_pb2.FunctionDef, index: int) -> list[int | None] | None:
    shapes = definition.arg_attr[index].attr["_output_shapes"].list.shape
    if not shapes or shapes[0].unknown_rank:
        return None
    return list(tf.TensorShape(shapes[0]))


def _source(definition: function_pb2.FunctionDef, name: str) -> str:
    """The argument that a tensor is, through what hands it on."""
    made: dict[str, node_def_pb2.NodeDef] = {node.name: node for node in definition.node_def}
    while True:
        node = made.get(name.partition(":")[0])
        if node is None or node.op not in ("Identity", "EnsureShape", "Cast", "ReadVariableOp"):
            return name.partition(":")[0]
        name = node.input[0]
