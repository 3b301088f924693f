"""Versions in an ONNX file: of its operations, of their domains, and of the file's own format."""

import onnx
import onnx.version_converter

from stn_tf.export.onnx_passes.find import nodes
from stn_tf.export.sampler_spec import DOMAIN


def drop_unused_domains(model: onnx.ModelProto) -> None:
    """Removes domains that no node is in.

    tf2onnx 1.17 imports `ai.onnx.ml` into every file. Remove when it does so on need.
    """
    used = {node.domain for node in nodes(model.graph)}
    kept = [entry for entry in model.opset_import if entry.domain in {*used, ""}]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def raise_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Converts to an opset that tf2onnx 1.17 does not write. Remove when it does."""
    raised = onnx.version_converter.convert_version(model, opset)
    modes = {b"bilinear": b"linear", b"bicubic": b"cubic"}
    for node in nodes(raised.graph):
        if node.domain == DOMAIN:
            for attribute in node.attribute:
                if attribute.name == "body_mode" and opset >= 20:  # Which renamed them.
                    attribute.s = modes.get(attribute.s, attribute.s)
    return raised


def set_ir_version(model: onnx.ModelProto) -> None:
    """Sets the oldest file format that the opset allows.

    tf2onnx 1.17 writes 8 whatever the opset, and `onnx.version_converter` leaves it. Remove when
    tf2onnx writes opset 20 by itself.
    """
    model.ir_version = onnx.helper.find_min_ir_version_for(
        [entry for entry in model.opset_import if entry.domain != DOMAIN]
    )
