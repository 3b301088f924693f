"""Puts one node in the place of each sampler, which the ONNX converter maps to the target's own."""

import tensorflow as tf
from tensorflow.core.framework import function_pb2

from stn_tf.export.tensorflow.functions import ConcreteFunction
from stn_tf.export.tensorflow.sampler_nodes import SamplerFunction, with_bodies

# Survives freezing and graph optimisers, is never executed, and has an attribute for any text.
# (Attributes on other nodes, names of functions and Identity nodes do not survive.)
CARRIER = "PyFuncStateless"


def with_carriers(function: ConcreteFunction) -> ConcreteFunction:
    """Returns the same concrete function with carriers in place of samplers.

    The token of a carrier is its `SamplerSpec`.
    """
    return with_bodies(function, _body)


def _body(sampler: SamplerFunction) -> function_pb2.FunctionDef | None:
    spec = sampler.spec
    if sampler.transform and (spec.kernel, spec.padding) == ("bicubic", "border"):
        # ONNX Runtime needs the grid moved before this pair: see `sampler_handler`.
        return None
    function = function_pb2.FunctionDef()
    function.CopyFrom(sampler.function)
    images, points = function.signature.input_arg
    (output,) = function.signature.output_arg
    del function.node_def[:], function.signature.control_output[:]
    function.control_ret.clear()
    del function.attr["_implements"]
    carrier = function.node_def.add(name="carrier", op=CARRIER, input=[images.name, points.name])
    carrier.attr["token"].s = spec.to_json().encode()
    carrier.attr["Tin"].list.type.extend([images.type, points.type])
    carrier.attr["Tout"].list.type.append(output.type)
    # The carrier does not know its shape.
    shaped = function.node_def.add(name="shaped", op="EnsureShape", input=["carrier:output:0"])
    shaped.attr["T"].type = output.type
    shaped.attr["shape"].shape.CopyFrom(_output_shape(sampler).as_proto())
    function.ret[output.name] = "shaped:output:0"
    return function


def _output_shape(sampler: SamplerFunction) -> tf.TensorShape:
    """The points' shape and the images' channels."""
    images, points = sampler.argument_shape(0), sampler.argument_shape(1)
    if sampler.transform:
        return tf.TensorShape([images[0], *sampler.spec.size, images[-1]])
    return tf.TensorShape([*points[:-1], images[-1]])
