"""SavedModels that sample with TensorFlow Addons' operation, and what they answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from stn_tf import native
from tests import reference

IMAGES = tf.TensorSpec([None, 6, 7, 3], name="images")
PIXELS = tf.TensorSpec([None, 4, 5, 2], name="pixels")


def resampler(images: tf.Tensor, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"crops": native.operations().addons_resampler(images, pixels)}


def resampler_gradient(images: tf.Tensor, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        total = tf.reduce_sum(native.operations().addons_resampler(images, pixels))
    return {"gradient": tape.gradient(total, pixels)}


def saved(path: Path, function: Callable, *specs: tf.TensorSpec, **attributes: Any) -> Path:
    module = tf.Module()
    module.serve = tf.function(function, input_signature=specs)
    for name, value in attributes.items():
        setattr(module, name, value)
    tf.saved_model.save(module, str(path), signatures=module.serve)
    return path


def edit(folder: Path, change: Callable[[Any], None]) -> None:
    path = folder / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    (meta_graph,) = proto.meta_graphs
    nodes = list(meta_graph.graph_def.node)
    nodes += [node for f in meta_graph.graph_def.library.function for node in f.node_def]
    for node in nodes:
        change(node)
    for op in meta_graph.meta_info_def.stripped_op_list.op:
        op.name = op.name.replace("Addons>", "")
    path.write_bytes(proto.SerializeToString())


def as_contrib(node: Any) -> None:
    node.op = node.op.replace("Addons>", "")


def answers(folder: Path, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    loaded = tf.saved_model.load(str(folder))
    values = loaded.signatures["serving_default"](**{n: tf.constant(v) for n, v in feeds.items()})
    return {name: value.numpy() for name, value in values.items()}


def onnx_answers(folder: Path, **feeds: np.ndarray) -> dict[str, np.ndarray]:
    """Without our library."""
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def expected_of(images: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The definition: zeros, aligned corners, and a pixel of zeros around images of one pixel."""
    padded = np.pad(images, [(0, 0), (0, 1), (0, 1), (0, 0)])
    extent = np.array([images.shape[2], images.shape[1]], np.float64)
    plane = pixels.reshape(len(pixels), -1, 1, 2).astype(np.float64)
    samples = reference.grid_sample(padded, plane * 2 / extent - 1, "bilinear", "zeros", True)
    return samples.reshape(*pixels.shape[:-1], images.shape[-1])
