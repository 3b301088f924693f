"""ONNX files with less precision than float32, and what that costs.

The sampler, theta and what leads to the points stay float32: half a pixel of 224 is more than a
float16 coordinate can tell. Under int8 the whole localisation network stays float32.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export import onnx_form
from stn_tf.export.candidates import Answers
from stn_tf.export.manifest import Accuracy
from stn_tf.export.network import IMAGES, Network
from stn_tf.export.onnx_form import DOMAIN, is_sampler
from stn_tf.export.onnx_runtimes import onnx_runtime
from stn_tf.export.parity_cases import Feeds
from stn_tf.export.targets import ExportOptions

_DENSE = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_BATCH = 256
_FLOAT, _FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def reduce(
    model: onnx.ModelProto,
    network: Network,
    options: ExportOptions,
    feeds: Feeds,
    labels: np.ndarray | None,
    calibration: np.ndarray | None,
) -> tuple[onnx.ModelProto, Accuracy]:
    """Returns the file with the precision that was asked for, and its accuracy.

    Args:
        model: The file in float32.
        network: The live model, a classifier.
        options: The precision, and how much accuracy it may cost.
        feeds: What is classified.
        labels: The true classes; None compares with those of the live model.
        calibration: Images for int8; None for `feeds`.

    Raises:
        ExportError: If the model is no classifier, or loses more accuracy than is allowed.
    """
    if not network.classifies:
        raise ExportError(
            f"`precision` must be float32 for a model that is no classifier, but it is "
            f"{options.precision}: there is no accuracy to hold it to."
        )
    if options.precision == "float16":
        reduced = to_float16(model)
    else:
        reduced = to_int8(model, feeds if calibration is None else {IMAGES: calibration})

    def live(batch: Feeds) -> dict[str, np.ndarray]:
        answers = network.answer({name: tf.constant(value) for name, value in batch.items()})
        return {name: value.numpy() for name, value in answers.items()}

    accuracy = measure(reduced, live, feeds, labels)
    require_accuracy(accuracy, options.precision, options.max_accuracy_drop)
    return reduced, accuracy


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the file in float16, with inputs and outputs in float32."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    kept = {node.name for node in _around_points(model.graph, stop_at_dense=True)}
    ours = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    functions = list(model.functions)
    converted = convert_float_to_float16(
        model,
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, "GridSample", *sorted(ours)],
        node_block_list=sorted(kept),
    )
    del converted.functions[:]
    converted.functions.extend(functions)
    _drop_round_trips(converted.graph)
    return converted


def _drop_round_trips(graph: onnx.GraphProto) -> None:
    """Joins neighbours that stayed float32.

    ONNX Runtime 1.26 casts what they hand over to float16 and back, and gives casts of one tensor
    for two readers the same name.
    """
    made = {name: node for node in graph.node for name in node.output}
    names: set[str] = set()
    for node in graph.node:
        for index, name in enumerate(node.input):
            back = made.get(name)
            there = made.get(back.input[0]) if back is not None and _casts(back, _FLOAT) else None
            if there is not None and _casts(there, _FLOAT16):
                node.input[index] = there.input[0]
        while node.name in names:
            node.name += "_"
        names.add(node.name)
    onnx_form.drop_unread(graph)


def _casts(node: onnx.NodeProto, to: int) -> bool:
    return node.op_type == "Cast" and node.attribute[0].i == to


def to_int8(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """Returns the file quantised for some real inputs (static, QDQ, one scale a channel)."""
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

    kept = {node.name for node in _around_points(model.graph, stop_at_dense=False)}
    functions = list(model.functions)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "int8.onnx"
        quantize_static(
            model,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            nodes_to_exclude=sorted(kept),
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        converted = onnx.load(target)
    if not converted.functions:
        converted.functions.extend(functions)
    return converted


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps ONNX Runtime 1.26 from advising steps that tf2onnx has taken."""
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger().setLevel(level)


def measure(
    file: onnx.ModelProto,
    live: Answers,
    feeds: Mapping[str, np.ndarray],
    labels: np.ndarray | None,
) -> Accuracy:
    """Classifies all images with a file and with the live model."""
    run = onnx_runtime(file.SerializeToString())
    found, expected, largest = [], [], 0.0
    for batch in _batches(feeds, _BATCH):
        ours, theirs = run(batch), live(batch)
        largest = max(largest, float(np.max(np.abs(ours["logits"] - theirs["logits"]))))
        found.append(ours["class"])
        expected.append(theirs["class"])
    classes, wanted = np.concatenate(found), np.concatenate(expected)
    truth = wanted if labels is None else labels
    return Accuracy(
        images=len(classes),
        error_percent=100.0 * float(np.mean(classes != truth)),
        float32_error_percent=100.0 * float(np.mean(wanted != truth)),
        largest_difference=largest,
        labelled=labels is not None,
    )


def require_accuracy(accuracy: Accuracy, precision: str, max_drop: float) -> None:
    """Raises ExportError if a file is worse than the live model by more than `max_drop` points."""
    drop = accuracy.error_percent - accuracy.float32_error_percent
    if not drop <= max_drop:
        raise ExportError(
            f"`precision` {precision} loses {drop:.2f} points of accuracy on {accuracy.images} "
            f"images ({accuracy.float32_error_percent:.2f} % -> {accuracy.error_percent:.2f} % "
            f"error), and at most {max_drop:g} are allowed. Nothing was written; take float32, or "
            "raise --max-accuracy-drop."
        )


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
