"""The three forms in which a file can hold its samplers: dual, standard and custom."""

import onnx
import onnx.inliner

from stn_tf.export.onnx_passes.find import nodes, opset_of
from stn_tf.export.onnx_passes.functions import VERSION, sampler_functions
from stn_tf.export.onnx_passes.simplify import simplify
from stn_tf.export.sampler_spec import AFFINE, DOMAIN, GRID_SAMPLE, PROJECTIVE

FORMS = ("dual", "standard", "custom")


def dual(model: onnx.ModelProto) -> onnx.ModelProto:
    """Adds the functions of the samplers that a file holds, in place."""
    used = {node.op_type for node in nodes(model.graph) if node.domain == DOMAIN}
    if used & {AFFINE, PROJECTIVE}:
        used.add(GRID_SAMPLE)  # They call it.
    functions = sampler_functions(opset_of(model))
    for name in functions:
        if name in used:
            model.functions.append(functions[name])
    if used and all(entry.domain != DOMAIN for entry in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, VERSION))
    return model


def standard(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a file in dual form without functions: each in the place of its node, constants
    computed, transposes that undo each other gone.
    """
    inlined = onnx.inliner.inline_local_functions(model)
    del inlined.functions[:]
    simplify(inlined)
    _name_nodes(inlined.graph)
    kept = [entry for entry in inlined.opset_import if entry.domain != DOMAIN]
    del inlined.opset_import[:]
    inlined.opset_import.extend(kept)
    return inlined


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Gives the nodes of functions names: they have none."""
    taken = {node.name for node in nodes(graph)}
    for index, node in enumerate(nodes(graph)):
        if not node.name:
            name = f"{node.op_type}__stn_tf_{index}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)
