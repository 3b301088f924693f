"""The ONNX file of a network: one node for each sampler, nothing that the target lacks."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx as onnx_format
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export.conversion import image_transforms, tf2onnx_repairs
from stn_tf.export.conversion.carriers import CARRIER, with_carriers
from stn_tf.export.conversion.sampler_handler import sampler_handler
from stn_tf.export.onnx_passes import interface_metadata
from stn_tf.export.onnx_passes.back_end import finish
from stn_tf.export.onnx_passes.file import sign
from stn_tf.export.onnx_passes.targets import OPSET, OnnxOptions
from stn_tf.export.source.load import Source, load_network
from stn_tf.export.tensorflow.functions import ConcreteFunction, freeze
from stn_tf.export.tensorflow.sampler_nodes import samplers_of


def onnx(
    model: Source,
    path: Path | str,
    *,
    options: OnnxOptions | None = None,
    metadata: Mapping[str, str] | None = None,
    **declared: Any,
) -> onnx_format.ModelProto:
    """Writes the ONNX file of a model.

    Inputs and outputs have the names of the network's interface: the model's own outputs, what is
    derived from them for its task, and for each spatial transformer `theta`, `corners`, `crops`
    (then `theta_2`, ...). The interface is in the file's metadata.

    Args:
        model: What `load_network` takes or returns, with any number of samplers.
        path: The file to write.
        options: The target, the form of the samplers and the opset.
        metadata: Entries of the file's metadata, beside interface, samplers and versions.
        **declared: What `load_network` takes: `task`, `classes`, `input_range`, ...

    Returns:
        What was written.

    Raises:
        ExportError: If the model holds an operation that ONNX lacks, or the target would not
            compute the same.
    """
    network = load_network(model, **declared)
    options = options or OnnxOptions()
    function = network.function(network.outputs)
    converted = convert(function, list(network.inputs), network.outputs, options)
    sign(converted)
    onnx_format.helper.set_model_props(
        converted,
        {
            "stn_tf.samplers": json.dumps([s.model_dump(mode="json") for s in network.samplers]),
            "stn_tf.target": options.target,
            "stn_tf.sampler": options.form,
            **interface_metadata.metadata(network.interface),
            **(metadata or {}),
        },
    )
    interface_metadata.denote(converted, network.interface)
    Path(path).write_bytes(converted.SerializeToString())
    return converted


def convert(
    function: ConcreteFunction,
    input_names: Sequence[str],
    output_names: Sequence[str],
    options: OnnxOptions | None = None,
) -> onnx_format.ModelProto:
    """Converts a concrete function, whose samplers each become one node, and checks it.

    Args:
        function: The concrete function; the first dimension of every input, where it is free, is
            the batch.
        input_names: Names for its inputs, in order.
        output_names: Names for its outputs, in order.
        options: The target, the form of the samplers and the opset.

    Raises:
        ExportError: If it holds an operation that ONNX lacks, the target would not compute the
            same, or the result is not valid.
    """
    options = options or OnnxOptions()
    samplers: list[str] = []

    def counted(handler: Callable) -> Callable:
        def handle(ctx: Any, node: Any, name: str, args: Any) -> None:
            samplers.append(name)
            handler(ctx, node, name, args)

        return handle

    handlers = {CARRIER: counted(sampler_handler)}
    handlers |= dict.fromkeys(image_transforms.OPERATIONS, counted(image_transforms.handler))
    try:
        opset = options.resolve((*samplers_of(function), *image_transforms.samplers_of(function)))
        frozen = freeze(with_carriers(function))
        _refuse_tables(frozen)
        model = tf2onnx_repairs.convert(
            frozen,
            input_names,
            output_names,
            handlers,
            min(opset, OPSET),
            image_transforms.settle_sizes,
        )
    except ExportError:
        raise
    except Exception as error:  # TensorFlow and tf2onnx raise whatever their handlers do.
        raise ExportError(f"The model cannot be converted to ONNX: {_one_line(error)}") from error
    return finish(model, options, opset, len(samplers))


def _refuse_tables(frozen: ConcreteFunction) -> None:
    """Raises ExportError for lookup tables, which are no constants and stay inputs."""
    handles = {tensor.op.name for tensor in frozen.inputs if tensor.dtype == tf.resource}
    users = [op for op in frozen.graph.get_operations() if "LookupTable" in op.type]
    if handles or users:
        kinds = ", ".join(sorted({op.type for op in users})) or "a resource"
        raise ExportError(
            f"The model cannot be converted to ONNX: it looks values up in a table ({kinds}), for "
            "which the converter knows no operation. Export with --format saved_model, or look "
            "them up before the model."
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
