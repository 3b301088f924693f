"""The ONNX file of a network: one GridSample for each sampler, nothing that a runtime lacks."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import keras
import onnx as onnx_format
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

import stn_tf
from stn_tf.errors import ExportError
from stn_tf.export import tf2onnx_repairs
from stn_tf.export.network import DEFAULT_OUTPUTS, Network, inspect
from stn_tf.export.onnx_sampler import grid_sample_handler
from stn_tf.export.sampler_nodes import CARRIER, with_carriers

ConcreteFunction: TypeAlias = tf.types.experimental.ConcreteFunction

ONNX_FILE = "model.onnx"
# TensorRT imports GridSample of opset 20 as nearest-neighbour without a word, so 18 it is, but
# volumes need 20.
OPSET = 18
OPSET_VOLUMES = 20


def onnx(
    model: keras.Model | Network,
    path: Path | str,
    *,
    input_shape: Sequence[int] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx_format.ModelProto:
    """Writes the ONNX file of a Keras model.

    Input `images` `[batch, H, W, C]` in 0..1; outputs `logits`, `probabilities`, `class`, and for
    each spatial transformer `theta`, `corners`, `crops` (then `theta_2`, ...).

    Args:
        model: A classifier, with any number of samplers in it.
        path: The file to write.
        input_shape: Height, width and channels; needed if the model does not know them.
        metadata: Entries of the file's metadata, beside the samplers and versions.

    Returns:
        What was written.

    Raises:
        ExportError: If the model holds an operation that ONNX lacks.
    """
    network = model if isinstance(model, Network) else inspect(model, input_shape)
    names = (*DEFAULT_OUTPUTS, *network.names("theta", "corners", "crops"))

    def everything(images: tf.Tensor) -> list[tf.Tensor]:
        outputs = network.outputs(images)
        return [outputs[name] for name in names]

    function = tf.function(everything, input_signature=[network.images_spec], autograph=False)
    converted = convert(function.get_concrete_function(), ["images"], names)
    converted.producer_name, converted.producer_version = "stn-tf", stn_tf.__version__
    onnx_format.helper.set_model_props(
        converted,
        {
            "stn_tf.samplers": json.dumps([s.model_dump(mode="json") for s in network.samplers]),
            **(metadata or {}),
        },
    )
    Path(path).write_bytes(converted.SerializeToString())
    return converted


def convert(
    function: ConcreteFunction,
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> onnx_format.ModelProto:
    """Converts a concrete function, whose samplers each become one GridSample, and checks it.

    Args:
        function: The concrete function; the first dimension of every tensor is the batch.
        input_names: Names for its inputs, in order.
        output_names: Names for its outputs, in order.

    Raises:
        ExportError: If it holds an operation that ONNX lacks, or the result is not valid.
    """
    carried = with_carriers(function)
    # Control flow stays as it is, and functions are inlined also where they are stateful: only
    # values matter here.
    frozen = convert_variables_to_constants_v2(
        carried, lower_control_flow=False, aggressive_inlining=True
    )
    carriers = [op for op in frozen.graph.get_operations() if op.type == CARRIER]
    handlers = {CARRIER: grid_sample_handler}
    try:
        model = tf2onnx_repairs.convert(frozen, input_names, output_names, handlers, OPSET)
    except Exception as error:  # tf2onnx raises whatever its handlers do.
        raise ExportError(f"The model cannot be converted to ONNX: {_one_line(error)}") from error
    tf2onnx_repairs.name_batch(model)
    tf2onnx_repairs.drop_unused_domains(model)
    if any(op.inputs[0].shape.rank == 5 for op in carriers):
        model = onnx_format.version_converter.convert_version(model, OPSET_VOLUMES)
    tf2onnx_repairs.set_ir_version(model)
    check(model, len(carriers))
    return model


def check(model: onnx_format.ModelProto, samplers: int) -> None:
    """Raises ExportError unless the file is valid ONNX that any runtime knows.

    Args:
        model: The file.
        samplers: How many GridSample nodes it must have.
    """
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    for node in _nodes(model.graph):
        known = node.domain in ("", "ai.onnx") and onnx_format.defs.has(node.op_type, opset, "")
        if not known:
            raise ExportError(
                f"The model cannot be converted to ONNX: `{node.name}` is the operation "
                f"{node.op_type} of domain {node.domain or 'ai.onnx'!r}, which opset {opset} "
                "lacks. Replace the layer by one of standard operations."
            )
    found = sum(node.op_type == "GridSample" for node in _nodes(model.graph))
    if found != samplers:
        raise ExportError(
            f"The ONNX file must have one GridSample for each of {samplers} samplers, "
            f"but it has {found}."
        )
    try:
        onnx_format.checker.check_model(model, full_check=True)
        onnx_format.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # Two kinds, which share no base class.
        raise ExportError(f"The ONNX file is not valid: {_one_line(error)}") from error


def _nodes(graph: onnx_format.GraphProto) -> list[onnx_format.NodeProto]:
    """All nodes, those of loops and branches included."""
    nodes = list(graph.node)
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                nodes.extend(_nodes(inner))
    return nodes


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
