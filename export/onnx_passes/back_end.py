"""From an ONNX graph with our nodes to a file for a target.

Without TensorFlow: it only knows ONNX, wherever the graph came from.
"""

import onnx

from stn_tf.errors import ExportError
from stn_tf.export.onnx_passes import openvino, sampler_form
from stn_tf.export.onnx_passes.dimensions import name_dimensions
from stn_tf.export.onnx_passes.find import nodes, opset_of, samplers_in
from stn_tf.export.onnx_passes.opset import drop_unused_domains, raise_opset, set_ir_version
from stn_tf.export.onnx_passes.targets import OnnxOptions


def finish(
    model: onnx.ModelProto, options: OnnxOptions, opset: int, samplers: int
) -> onnx.ModelProto:
    """Returns the file, checked.

    Args:
        model: A graph in which every sampler is a node of domain `ai.stn_tf`; it is changed.
        options: The target, and the form of the samplers.
        opset: The version of ONNX's operations that the file gets, no less than the graph's.
        samplers: How many samplers were converted.

    Raises:
        ExportError: If it is not valid, or holds an operation that no runtime knows.
    """
    drop_unused_domains(model)
    if opset > opset_of(model):
        model = raise_opset(model, opset)
    set_ir_version(model)
    model = sampler_form.dual(model)
    name_dimensions(model)
    if options.form == "standard":
        model = sampler_form.standard(model)
    if options.target == "openvino":
        openvino.keep_reductions_apart(model)
    check(model, samplers)
    if options.form == "custom":
        del model.functions[:]
    return model


def check(model: onnx.ModelProto, samplers: int) -> None:
    """Raises ExportError unless the file is valid ONNX that any runtime knows.

    Args:
        model: The file, with a function for every operation of ours.
        samplers: How many samplers were converted. Equal ones may share a node.
    """
    opset = opset_of(model)
    functions = {(function.domain, function.name) for function in model.functions}
    bodies = [node for function in model.functions for node in function.node]
    for node in (*nodes(model.graph), *bodies):
        known = node.domain in ("", "ai.onnx") and onnx.defs.has(node.op_type, opset, "")
        if not known and (node.domain, node.op_type) not in functions:
            raise ExportError(
                f"The model cannot be converted to ONNX: `{node.name}` is the operation "
                f"{node.op_type} of domain {node.domain or 'ai.onnx'!r}, which opset {opset} "
                "lacks. Replace the layer by one of standard operations."
            )
    found = len(samplers_in(model))
    if not min(samplers, 1) <= found <= samplers:
        raise ExportError(
            f"The ONNX file must have one sampler node for each of {samplers} samplers, "
            f"but it has {found}."
        )
    try:
        onnx.checker.check_model(model, full_check=True)
        onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # Two kinds, which share no base class.
        reason = _one_line(error)
        # tf2onnx 1.17 mixes it with float32, and ONNX lacks it here and there.
        cure = " Use the policy float32 in place of bfloat16." if "bfloat16" in reason else ""
        raise ExportError(f"The ONNX file is not valid: {reason}.{cure}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
