"""What OpenVINO would compute wrongly, written otherwise."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from stn_tf.export.onnx_passes.find import nodes


def keep_sums_apart(model: onnx.ModelProto) -> None:
    """Gives sums over one axis of a product an axis more, which a Squeeze takes away; in place.

    OpenVINO 2026.4.1 makes one matrix product of Mul and ReduceSum without `keepdims`, and of
    several examples all but the first come out wrong. Remove when they do not.
    """
    made = {name: node for node in nodes(model.graph) for name in node.output}
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        kept.append(node)
        if node.op_type != "ReduceSum" or node.domain or len(node.input) < 2:
            continue
        axes, product = known.get(node.input[1]), made.get(node.input[0])
        keep = next((entry for entry in node.attribute if entry.name == "keepdims"), None)
        if axes is None or np.size(axes) != 1 or keep is None or keep.i:
            continue
        if product is None or product.op_type != "Mul":
            continue
        keep.i = 1
        result, inner = node.output[0], f"{node.output[0]}/with_axis"
        node.output[0] = inner
        squeeze = helper.make_node(
            "Squeeze", [inner, node.input[1]], [result], f"{node.name}/squeeze"
        )
        kept.append(squeeze)
    del model.graph.node[:]
    model.graph.node.extend(kept)
