"""Workarounds for tf2onnx, each with the version that needs it and when it can go."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import onnx
import tensorflow as tf

from stn_tf.export.conversion import tf2onnx_gaps
from stn_tf.export.conversion.sampler_handler import restore_domain
from stn_tf.export.onnx_passes.find import nodes
from stn_tf.export.sampler_spec import DOMAIN
from stn_tf.export.tensorflow.functions import ConcreteFunction


def convert(
    frozen: ConcreteFunction,
    input_names: Sequence[str],
    output_names: Sequence[str],
    handlers: Mapping[str, Callable],
    opset: int,
    prepare: Callable[[tf.Graph], None] = lambda graph: None,
) -> onnx.ModelProto:
    """Converts a concrete function without variables, or raises.

    tf2onnx 1.17: `from_function`, `from_keras` and `from_graph_def` hard-code
    `continue_on_error=True`, and the optimiser swallows errors by default: a handler that raises
    still yields a file, with the TensorFlow operation inside. So its inner functions are called.
    Remove when `from_function` takes `continue_on_error`.

    Args:
        frozen: The concrete function.
        input_names: Names for its inputs, in order.
        output_names: Names for its outputs, in order.
        handlers: By TensorFlow's operation, what replaces its nodes in tf2onnx's graph.
        opset: The version of ONNX's operations.
        prepare: Called with the TensorFlow graph that is converted.
    """
    # Imported late: it takes a second and only conversion needs it.
    from tf2onnx import optimizer, tf_loader
    from tf2onnx.tfonnx import process_tf_graph

    inputs = [tensor.name for tensor in frozen.inputs]
    outputs = [tensor.name for tensor in frozen.outputs]
    renames = dict(zip(inputs, input_names, strict=True))
    renames |= dict(zip(outputs, output_names, strict=True))
    with _quiet(), tf.Graph().as_default() as graph:
        graph_def = tf_loader.tf_optimize(inputs, outputs, frozen.graph.as_graph_def())
        tf.import_graph_def(graph_def, name="")
        prepare(graph)
        converted = process_tf_graph(
            graph,
            continue_on_error=False,
            opset=opset,
            extra_opset=[onnx.helper.make_opsetid(DOMAIN, 1)],
            custom_op_handlers={
                op: (handler, []) for op, handler in {**tf2onnx_gaps.HANDLERS, **handlers}.items()
            },
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=renames,
        )
        # tf2onnx 1.17: the Squeeze that `reshape_optimizer` puts behind an output of the graph is
        # lost, now and then, and the output has a dimension too many. Remove when it keeps it.
        optimizers = {
            name: factory
            for name, factory in optimizer._get_optimizers().items()
            if name != "reshape_optimizer"
        }
        optimizers["optimize_transpose"] = tf2onnx_gaps.transposes
        converted = optimizer.optimize_graph(converted, catch_errors=False, optimizers=optimizers)
        model: onnx.ModelProto = converted.make_model("stn_tf")
    restore_domain(nodes(model.graph))
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps tf2onnx 1.17 from printing what is no news: the carrier's unknown shape, which the next
    node gives, and the trace of an error that it also raises. Remove when it does neither.
    """
    logger: Any = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
