"""ONNX files with less precision than float32.

The sampler, theta and what leads to the points stay float32: half a pixel of 224 is more than a
float16 coordinate can tell. Under int8 the whole localisation network stays float32. So do loops
and branches, whole.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from stn_tf.errors import ExportError
from stn_tf.export.onnx_passes import sampler_form
from stn_tf.export.onnx_passes.find import nodes, samplers_in
from stn_tf.export.onnx_passes.simplify import drop_unread
from stn_tf.export.sampler_spec import DOMAIN, SamplerSpec, is_sampler

_DENSE = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# What is in them stays float32: ONNX Runtime 1.26 loses the order of nodes around them otherwise.
_CONTROL_FLOW = ("If", "Loop", "Scan")
_FLOAT, _FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the file in float16, with inputs and outputs in float32."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    kept = {node.name for node in _around_points(model.graph, stop_at_dense=True)}
    ours = {node.op_type for node in nodes(model.graph) if node.domain == DOMAIN}
    functions = list(model.functions)
    converted = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, "GridSample", *_CONTROL_FLOW, *sorted(ours)],
        node_block_list=sorted(kept),
    )
    del converted.functions[:]
    converted.functions.extend(functions)
    _drop_round_trips(converted.graph)
    OnnxModel.graph_topological_sort(converted.graph)
    return converted


def _drop_round_trips(graph: onnx.GraphProto) -> None:
    """Joins neighbours that stayed float32.

    ONNX Runtime 1.26 casts what they hand over to float16 and back, and casts one tensor again for
    each of its readers, under one name.
    """
    # The first comes before all readers.
    once: dict[tuple[str, ...], onnx.NodeProto] = {}
    for node in graph.node:
        once.setdefault(tuple(node.output), onnx.NodeProto.FromString(node.SerializeToString()))
    del graph.node[:]
    graph.node.extend(once.values())
    made = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        for index, name in enumerate(node.input):
            back = made.get(name)
            there = made.get(back.input[0]) if back is not None and _casts(back, _FLOAT) else None
            if there is not None and _casts(there, _FLOAT16):
                node.input[index] = there.input[0]
    drop_unread(graph)


def _casts(node: onnx.NodeProto, to: int) -> bool:
    return node.op_type == "Cast" and node.attribute[0].i == to


def to_int8(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """Returns the file quantised for some real inputs (static, QDQ, one scale a channel).

    Weights have 7 bits: processors without VNNI add two products of 8 bits in 16, which overflow.

    Args:
        model: The file in float32, in any form.
        feeds: The inputs by name, some tens of examples or more.

    Raises:
        ExportError: If ONNX Runtime cannot run the file without our library.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = _batches(feeds, 32)

        def get_next(self) -> Any:
            return next(self._batches, None)

    standing = _standing(model)
    kept = {node.name for node in _around_points(model.graph, stop_at_dense=False)}
    _own_weights(standing.graph, kept)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "int8.onnx"
        quantize_static(
            standing,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            nodes_to_exclude=sorted(kept),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        converted = onnx.load(target)
    del converted.functions[:]
    converted.functions.extend(model.functions)
    return converted


def _own_weights(graph: onnx.GraphProto, kept: set[str]) -> None:
    """Gives the nodes that stay float32 weights of their own.

    A localisation may share a backbone with what is quantised, and ONNX Runtime 1.26 quantises a
    weight for all its readers.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    quantised = {name for node in graph.node if node.name not in kept for name in node.input}
    copies: dict[str, str] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            if node.name not in kept or name not in weights or name not in quantised:
                continue
            if name not in copies:
                copies[name] = f"{name}/float32"
                copy = graph.initializer.add()
                copy.CopyFrom(weights[name])
                copy.name = copies[name]
            node.input[index] = copies[name]


def _standing(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in a form that runs without our library, which calibration in ONNX Runtime 1.26
    cannot register.
    """
    for spec in filter(None, map(SamplerSpec.of_node, samplers_in(model))):
        if spec.dimensions == 3 and spec.kernel == "bicubic":
            raise ExportError(
                "`precision` must not be int8 for a network that samples volumes with kernel "
                "bicubic: it is calibrated in ONNX Runtime, whose GridSample refuses them. Use "
                "float16 or float32, or kernel bilinear."
            )
    standing = onnx.ModelProto()
    standing.CopyFrom(model)
    return standing if model.functions else sampler_form.dual(standing)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps ONNX Runtime 1.26 from advising steps that tf2onnx has taken."""
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger().setLevel(level)


def _around_points(graph: onnx.GraphProto, *, stop_at_dense: bool) -> list[onnx.NodeProto]:
    """The nodes from what the images of a sampler depend on to its points, the sampler included."""
    made = {name: node for node in graph.node for name in node.output}
    kept: dict[str, onnx.NodeProto] = {}
    for sampler in (node for node in graph.node if is_sampler(node)):
        shared = _ancestors(made, [sampler.input[0]])
        waiting = [sampler.input[1]]
        kept[sampler.name] = sampler
        while waiting:
            node = made.get(waiting.pop())
            if node is None or node.name in shared or node.name in kept:
                continue
            kept[node.name] = node
            if not (stop_at_dense and node.op_type in _DENSE):
                waiting.extend(node.input)
    return list(kept.values())


def _ancestors(made: Mapping[str, onnx.NodeProto], names: list[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        node = made.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting.extend(node.input)
    return found


def _batches(feeds: Mapping[str, np.ndarray], size: int) -> Iterator[dict[str, np.ndarray]]:
    count = len(next(iter(feeds.values())))
    for start in range(0, count, size):
        yield {name: values[start : start + size] for name, values in feeds.items()}
