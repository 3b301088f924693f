"""The ONNX file of a migrated SavedModel, of TensorFlow 1 or 2."""

from collections.abc import Mapping
from pathlib import Path

import onnx as onnx_format
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from stn_tf.errors import ExportError
from stn_tf.export.conversion.onnx_file import convert
from stn_tf.export.migration.files import Loaded
from stn_tf.export.onnx_passes.file import sign
from stn_tf.export.publish.manifest import ONNX_FILE
from stn_tf.export.tensorflow.functions import ConcreteFunction


def write_onnx(model: Loaded, signature: str, folder: Path) -> onnx_format.ModelProto:
    """Writes `model.onnx` beside a SavedModel, with one sampler node for each sampler.

    Raises:
        ExportError: If the signature holds an operation that ONNX lacks.
    """
    function, inputs = model.signatures[signature], model.inputs(signature)
    outputs = list(function.structured_outputs)

    def answer(*values: tf.Tensor) -> list[tf.Tensor]:
        found = function(**dict(zip(inputs, values, strict=True)))
        return [found[name] for name in outputs]

    if model.meta_graph.HasField("object_graph_def"):
        specs = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in inputs.items()]
        graph = tf.function(answer, input_signature=specs, autograph=False)
        concrete = graph.get_concrete_function()
    else:
        concrete = _frozen(model, signature, inputs, outputs)
    try:
        converted = convert(concrete, list(inputs), outputs)
    except ExportError as error:
        raise ExportError(f"{error} Or leave the ONNX file out with --no-onnx.") from error
    sign(converted)
    (folder / ONNX_FILE).write_bytes(converted.SerializeToString())
    return converted


def _frozen(
    model: Loaded, signature: str, inputs: Mapping[str, tf.TensorSpec], outputs: list[str]
) -> ConcreteFunction:
    """A signature of TensorFlow 1, whose variables only a session knows, with constants."""
    v1 = tf.compat.v1
    definition: meta_graph_pb2.SignatureDef = model.meta_graph.signature_def[signature]
    returned = [definition.outputs[name].name for name in outputs]
    with tf.Graph().as_default() as graph, v1.Session() as session:
        v1.saved_model.load(session, list(model.meta_graph.meta_info_def.tags), str(model.folder))
        nodes = [name.split(":")[0] for name in returned]
        frozen = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), nodes)

    def answer(*values: tf.Tensor) -> list[tf.Tensor]:
        feeds = {definition.inputs[n].name: v for n, v in zip(inputs, values, strict=True)}
        return tf.graph_util.import_graph_def(
            frozen, input_map=feeds, return_elements=returned, name=""
        )

    specs = [tf.TensorSpec(spec.shape, spec.dtype, f"{name}_fed") for name, spec in inputs.items()]
    return tf.function(answer, input_signature=specs, autograph=False).get_concrete_function()
