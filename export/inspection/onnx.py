"""Looks into an ONNX file, without running it and without TensorFlow."""

from collections import Counter
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from stn_tf.export.inspection import onnx_shapes
from stn_tf.export.inspection.result import (
    FileInspection,
    Notice,
    SamplerUse,
    Signature,
    Tensor,
)
from stn_tf.export.onnx_passes.file import read_onnx
from stn_tf.export.onnx_passes.find import nodes as all_nodes
from stn_tf.export.onnx_passes.targets import TARGETS
from stn_tf.export.sampler_spec import DOMAIN, GRID_SAMPLE, SamplerSpec, is_ours

_STANDARD_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_RESAMPLERS = ("Addons>Resampler", "Resampler")
# One sampler of gathers has one for each of the four pixels around a point.
GATHERS = 4


def inspect_onnx(path: Path) -> FileInspection:
    """Returns what an ONNX file holds.

    Raises:
        ModelError: If it is not an ONNX file, or only part of one.
    """
    model = read_onnx(path)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    functions = {(function.domain, function.name) for function in model.functions}
    flat = onnx_shapes.flat(model)
    shapes = onnx_shapes.Shapes(flat)
    nodes = all_nodes(flat.graph)
    samplers = [use for node in nodes if (use := _sampler(node, shapes)) is not None]
    weights = {tensor.name for tensor in model.graph.initializer}
    signature = Signature(
        name=model.graph.name,
        inputs=tuple(_tensor(v) for v in model.graph.input if v.name not in weights),
        outputs=tuple(_tensor(v) for v in model.graph.output),
        samplers=tuple(samplers),
        flops_per_image=onnx_shapes.flops(flat, shapes, samplers),
    )
    provenance = {"producer": f"{model.producer_name} {model.producer_version}".strip()}
    provenance |= {
        entry.key: entry.value
        for entry in model.metadata_props
        if entry.key.startswith("stn_tf.") and entry.value
    }
    operations = Counter(f"{node.domain}::{node.op_type}".lstrip(":") for node in nodes)
    return FileInspection(
        file=path.name,
        kind="onnx",
        signatures=(signature,),
        parameters=onnx_shapes.parameters(model),
        opsets=opsets,
        ir_version=model.ir_version,
        operations=dict(sorted(operations.items())),
        provenance=provenance,
        warnings=tuple(_warnings(nodes, shapes, opsets, functions)),
    )


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    shape = None
    if kind.HasField("shape"):
        shape = tuple(
            dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
            for dim in kind.shape.dim
        )
    return Tensor(name=value.name, dtype=_dtype(kind.elem_type), shape=shape)


def _dtype(kind: int) -> str:
    if kind == TensorProto.STRING:
        return "string"
    return str(helper.tensor_dtype_to_np_dtype(kind)) if kind else "unknown"


def _sampler(node: onnx.NodeProto, shapes: Any) -> SamplerUse | None:
    operation = f"{node.domain}::{node.op_type}".lstrip(":")
    spec = SamplerSpec.of_node(node)
    if spec is not None:
        samples = shapes.samples(node)
        return SamplerUse(
            operation=operation,
            transform=None if spec.points == "grid" else spec.points,
            **spec.semantics,
            samples=tuple(samples[1:]) if samples and min(samples[1:]) > 0 else None,
        )
    if node.op_type in _RESAMPLERS:
        return SamplerUse(
            operation=node.op_type, kernel="bilinear", padding="zeros", align_corners=True
        )
    return None


def _warnings(
    nodes: list[onnx.NodeProto], shapes: Any, opsets: dict[str, int], functions: set[Any]
) -> list[Notice]:
    found: dict[str, str] = {}
    opset = opsets.get("", opsets.get("ai.onnx", 0))
    grid_samples = [n for n in nodes if (n.domain, n.op_type) == ("", GRID_SAMPLE)]
    ours = [node for node in nodes if is_ours(node)]
    bodies = [node for node in ours if (node.domain, node.op_type) in functions]
    if opset > TARGETS["tensorrt"].newest and (grid_samples or bodies):
        found["tensorrt_nearest"] = (
            f"TensorRT reads GridSample of opset {opset} as nearest-neighbour without a word. "
            "For it, export with opset 18."
        )
    for node in nodes:
        key = (node.domain, node.op_type)
        if node.op_type in _RESAMPLERS:
            found["addons_resampler"] = (
                f"{node.op_type} is an operation of TensorFlow, not of ONNX: no runtime loads "
                "the file. Replace it in the SavedModel with `stn-tf migrate`, then export that."
            )
        elif node.domain == DOMAIN and key not in functions:
            found["needs_library"] = (
                f"{node.op_type} of domain {DOMAIN} has no function in the file: it runs only in "
                "ONNX Runtime with the library of stn-tf. Export with the dual form for others."
            )
        elif node.domain not in _STANDARD_DOMAINS and key not in functions:
            found[f"custom_operation_{node.op_type}"] = (
                f"{node.op_type} of domain {node.domain} is in no standard and has no function in "
                "the file: it runs only where its own library is."
            )
    half = [
        (node, index)
        for node in (*grid_samples, *ours)
        for index in (0, 1)
        if shapes.dtype(node.input[index]) == TensorProto.FLOAT16
    ]
    if any(index == 1 for _, index in half):
        found["float16_grid"] = (
            "A sampler takes its points or matrices in float16, which cannot tell pixels apart in "
            "images of more than some hundred pixels. Keep them in float32."
        )
    if half:
        found["float16_sampler"] = (
            "A sampler reads float16: ONNX Runtime has GridSample for graphics cards in float32 "
            "only and computes it on the CPU, with copies. Keep samplers in float32."
        )
    if any(helper.get_node_attr_value(n, "align_corners") for n in grid_samples if _aligned(n)):
        found["align_corners"] = (
            "GridSample with align_corners=1 is outside the fast path of ONNX Runtime on CPUs. "
            "Export again with stn-tf, which scales the points instead."
        )
    gathers = sum(node.op_type == "GatherND" for node in nodes)
    if gathers >= GATHERS:
        found["gathers"] = (
            f"{gathers} GatherND nodes look like {gathers // GATHERS} sampler(s) of gathers. "
            "Export the model with stn-tf for one node each."
        )
    return [Notice(code=code, text=text) for code, text in found.items()]


def _aligned(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "align_corners" for attribute in node.attribute)
