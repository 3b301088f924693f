"""Looks into a SavedModel or a Keras model, without running it."""

import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

import stn_tf.native  # noqa: F401  Registers the operations of stn-tf, where they were built.
from stn_tf.errors import ModelError
from stn_tf.export.inspection.graph import FlatGraph
from stn_tf.export.inspection.result import FileInspection, Notice, Signature, Tensor
from stn_tf.export.tensorflow import stock

SAVED_MODEL_FILE = "saved_model.pb"
# How TensorFlow names the start of a SavedModel among its signatures.
_INIT = "__saved_model_init_op"
_RESAMPLERS = ("Addons>Resampler", "Resampler")
# One sampler of gathers has one for each of the four pixels around a point.
_GATHERS = 4


def inspect_saved_model(folder: Path) -> FileInspection:
    """Returns what a SavedModel holds.

    Raises:
        ModelError: If its `saved_model.pb` is not one, or only part of one.
    """
    meta_graph = _read(folder / SAVED_MODEL_FILE)
    graph_def = meta_graph.graph_def
    signatures, counts = [], Counter[str]()
    for name, definition in sorted(meta_graph.signature_def.items()):
        if name == _INIT:
            continue
        flat = FlatGraph(graph_def, [info.name for info in definition.outputs.values()])
        signatures.append(
            Signature(
                name=name,
                inputs=_tensors(definition.inputs),
                outputs=_tensors(definition.outputs),
                samplers=flat.samplers,
                flops_per_image=flat.flops(),
            )
        )
        # What several signatures share is counted once: as often as the one that has most of it.
        counts |= Counter(node.op for node in flat.nodes)
    variables = [
        [dim.size for dim in node.variable.shape.dim]
        for node in meta_graph.object_graph_def.nodes
        if node.WhichOneof("kind") == "variable" and tf.as_dtype(node.variable.dtype).is_floating
    ] or [
        [dim.size for dim in node.attr["shape"].shape.dim]
        for node in graph_def.node
        if node.op in ("VarHandleOp", "VariableV2")
    ]
    return FileInspection(
        file=SAVED_MODEL_FILE,
        kind="saved_model",
        signatures=tuple(signatures),
        parameters=sum(map(math.prod, variables)),
        operations=dict(sorted(counts.items())),
        provenance={"tensorflow": meta_graph.meta_info_def.tensorflow_version},
        warnings=tuple(_warnings(meta_graph, counts)),
    )


def inspect_keras(path: Path) -> FileInspection:
    """Returns what a .keras file holds.

    Raises:
        ModelError: If it cannot be loaded.
    """
    import keras

    from stn_tf import layers  # noqa: F401  Registers the layers of stn-tf.

    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever its parts do.
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"`{path}` must be a Keras model, but it does not load: {reason} "
            "Save it again, or give a SavedModel."
        ) from error
    # A subclassed model knows its inputs only when it is called.
    signatures: tuple[Signature, ...] = ()
    counts: Counter[str] = Counter()
    if getattr(model, "inputs", None):
        flat = _flat_keras(model)
        counts = Counter(node.op for node in flat.nodes)
        signature = Signature(
            name=model.name,
            inputs=tuple(_of_keras(tensor) for tensor in model.inputs),
            outputs=tuple(_of_keras(tensor) for tensor in model.outputs),
            samplers=flat.samplers,
            flops_per_image=flat.flops(),
        )
        signatures = (signature,)
    return FileInspection(
        file=path.name,
        kind="keras",
        signatures=signatures,
        parameters=model.count_params(),
        operations=dict(sorted(counts.items())),
        provenance={"keras": keras.__version__},
        warnings=tuple(_common_warnings(counts, counts)),
    )


def _flat_keras(model: Any) -> FlatGraph:
    specs = [tf.TensorSpec([1, *t.shape[1:]], t.dtype, name=t.name) for t in model.inputs]

    def call(*inputs: tf.Tensor) -> Any:
        return tf.nest.flatten(model(tf.nest.pack_sequence_as(model.input, inputs), training=False))

    function = tf.function(call, autograph=False).get_concrete_function(*specs)
    return FlatGraph(_with_variables(function.graph), [t.name for t in function.outputs])


def _with_variables(graph: Any) -> graph_pb2.GraphDef:
    """The graph with variables where it captures their handles, which do not tell their shapes."""
    graph_def: graph_pb2.GraphDef = graph.as_graph_def()
    variables = {id(variable.handle): variable for variable in graph.variables}
    captured = {inner.op.name: variables.get(id(outer)) for outer, inner in graph.captures}
    for node in graph_def.node:
        variable = captured.get(node.name)
        if variable is not None:
            node.op = "VarHandleOp"
            node.attr.clear()
            node.attr["dtype"].type = variable.dtype.as_datatype_enum
            node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
    return graph_def


def _read(path: Path) -> meta_graph_pb2.MetaGraphDef:
    try:
        proto = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"`{path}` cannot be read: {error.strerror}. Name another folder."
        ) from None
    except DecodeError:
        proto = saved_model_pb2.SavedModel()
    serving = [m for m in proto.meta_graphs if "serve" in m.meta_info_def.tags]
    if not serving or not serving[0].signature_def:
        raise ModelError(
            f"`{path}` must be a SavedModel with signatures for serving, but it is not one, or "
            "only part of one. Export the model again, or copy the folder again."
        )
    return serving[0]


def _tensors(infos: Any) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(name=name, dtype=tf.as_dtype(info.dtype).name, shape=_sizes(info.tensor_shape))
        for name, info in sorted(infos.items())
    )


def _sizes(shape: Any) -> tuple[int | None, ...] | None:
    if shape.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else dim.size for dim in shape.dim)


def _of_keras(tensor: Any) -> Tensor:
    return Tensor(name=tensor.name, dtype=str(tensor.dtype), shape=tuple(tensor.shape))


def _common_warnings(every: Iterable[str], counts: Counter[str]) -> list[Notice]:
    """Warnings from the operations anywhere in a model, and outside of samplers."""
    found = []
    resamplers = sorted(set(_RESAMPLERS) & set(every))
    if resamplers:
        text = f"{resamplers[0]} came with TensorFlow Addons, which is no longer developed."
        text += " Replace it by stock operations with `stn-tf migrate`."
        found.append(Notice(code="addons_resampler", text=text))
    if counts["GatherNd"] >= _GATHERS:
        text = f"{counts['GatherNd']} GatherNd nodes look like {counts['GatherNd'] // _GATHERS} "
        text += "sampler(s) of gathers, which become as many nodes in ONNX. "
        text += "Sample with stn_tf.grid_sample or stn_tf.warp for one node each."
        found.append(Notice(code="gathers", text=text))
    return found


def _warnings(meta_graph: meta_graph_pb2.MetaGraphDef, counts: Counter[str]) -> list[Notice]:
    graph_def: graph_pb2.GraphDef = meta_graph.graph_def
    functions = {function.signature.name for function in graph_def.library.function}
    nodes = [*graph_def.node, *(n for f in graph_def.library.function for n in f.node_def)]
    every = {node.op for node in nodes} - functions
    found = _common_warnings(every, counts)
    foreign = stock.foreign(every)
    if foreign:
        text = f"Stock TensorFlow Serving does not have {', '.join(foreign)} and does not load the "
        text += "model. Export it with stn-tf, or replace the layer by standard operations."
        found.append(Notice(code="custom_operations", text=text))
    compiled = list(stock.compiled(graph_def.library))
    if compiled:
        text = f"{compiled[0]} has jit_compile=True, but TensorFlow Serving has XLA off unless it "
        text += "is started with it, and the first request fails. Export without jit_compile."
        found.append(Notice(code="jit_compile", text=text))
    return found
