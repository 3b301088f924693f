"""What OpenVINO would compute wrongly, written otherwise."""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper


def keep_reductions_apart(model: onnx.ModelProto) -> None:
    """Gives reductions the axes that they drop, and a Squeeze that drops them; in place.

    OpenVINO 2026.4.1 takes what is added to or multiplied with a reduction into it. Where the last
    axis was dropped (`keepdims=0`), the wrong numbers are added: theta, a sum of products and a
    bias, comes out wrong. Loops and branches are left as they are. Remove when OpenVINO is mended.
    """
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kept: list[onnx.NodeProto] = []
    for node in model.graph.node:
        kept.append(node)
        if node.op_type.startswith("Reduce") and not node.domain:
            kept.extend(_kept_apart(model, node, known))
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _kept_apart(
    model: onnx.ModelProto, node: onnx.NodeProto, known: dict[str, np.ndarray]
) -> Iterator[onnx.NodeProto]:
    given = {entry.name: entry for entry in node.attribute}
    if "keepdims" not in given or given["keepdims"].i:
        return
    if len(node.input) > 1 and node.input[1] in known:
        axes = node.input[1]
    elif "axes" in given:
        axes = f"{node.output[0]}/axes"
        values = np.array(given["axes"].ints, np.int64)
        model.graph.initializer.append(numpy_helper.from_array(values, axes))
    else:  # All of them, or some that are computed.
        return
    given["keepdims"].i = 1
    result, whole = node.output[0], f"{node.output[0]}/with_axes"
    node.output[0] = whole
    yield helper.make_node("Squeeze", [whole, axes], [result], f"{node.name or result}/squeeze")
