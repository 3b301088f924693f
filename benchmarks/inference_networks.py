"""The networks of `inference.py`, and the ONNX files that hold them."""

from collections.abc import Callable
from typing import Any

import keras
import onnx
import tensorflow as tf
from onnx import helper

import stn_tf
from stn_tf.export import OnnxOptions, load_network
from stn_tf.export.conversion import tf2onnx_repairs
from stn_tf.export.conversion.onnx_file import convert
from stn_tf.export.onnx_passes.dimensions import name_dimensions
from stn_tf.export.onnx_passes.find import nodes
from stn_tf.export.onnx_passes.opset import drop_unused_domains, set_ir_version
from stn_tf.export.sampler_spec import is_sampler
from stn_tf.export.source.network import Network
from stn_tf.export.tensorflow.functions import freeze
from stn_tf.layers import SpatialTransformer
from stn_tf.paper import build_network


def mnist_rts() -> keras.Model:
    """The `st-cnn-affine` of `mnist-rts`: one transformer on 42 x 42 images."""
    return build_network("st-cnn-affine", (42, 42, 1), pool_crops=True)


def feature_maps(filter_size: int) -> keras.Model:
    """Transformers on maps of 64 x 64 x 48 and 32 x 32 x 64, as in the paper's ST-CNN Multi.

    The paper's filters are 5 x 5.
    """

    def transformer() -> SpatialTransformer:
        layers = [keras.layers.AveragePooling2D(4), keras.layers.Flatten()]
        layers += [keras.layers.Dense(32, "relu"), keras.layers.Dense(32, "relu")]
        return SpatialTransformer(keras.Sequential(layers))

    images = features = keras.Input((64, 64, 3), name="images")
    for filters in (48, 64):
        features = keras.layers.Conv2D(filters, filter_size, padding="same", activation="relu")(
            features
        )
        features = transformer()(features)
        features = keras.layers.MaxPooling2D()(features)
    features = keras.layers.Conv2D(128, filter_size, padding="same", activation="relu")(features)
    features = keras.layers.MaxPooling2D()(features)
    logits = keras.layers.Dense(11)(keras.layers.Flatten()(features))
    return keras.Model(images, logits)


def attention_224() -> keras.Model:
    """An upright window of 224 x 224 x 3 images, then a small classifier."""
    localisation = keras.Sequential(
        [keras.layers.AveragePooling2D(8), keras.layers.Flatten(), keras.layers.Dense(32, "relu")]
    )
    images = keras.Input((224, 224, 3), name="images")
    crops = SpatialTransformer(localisation, "attention")(images)
    features = keras.layers.Conv2D(16, 7, strides=4, activation="relu")(crops)
    features = keras.layers.GlobalAveragePooling2D()(features)
    return keras.Model(images, keras.layers.Dense(10)(features))


def transformer_alone(size: tuple[int, int, int], transform: str) -> keras.Model:
    """Hardly more than a sampler: theta comes from the means of the channels."""
    images = keras.Input(size, name="images")
    return keras.Model(
        images, SpatialTransformer(keras.layers.GlobalAveragePooling2D(), transform)(images)
    )


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    "mnist-rts": mnist_rts,
    "feature-maps": lambda: feature_maps(5),
    "feature-maps-3x3": lambda: feature_maps(3),
    "attention-224": attention_224,
    "affine-42 alone": lambda: transformer_alone((42, 42, 1), "affine"),
    "attention-224 alone": lambda: transformer_alone((224, 224, 3), "attention"),
}


def made(name: str) -> Network:
    """The network with the theta of a slight turn, so that samplers have something to do."""
    keras.utils.set_random_seed(1)
    model = NETWORKS[name]()
    for transformer in stn_tf.layers.spatial_transformers(model):
        if transformer.transform.name == "affine":
            transformer.regression.dense.bias.assign_add([-0.1, 0.2, 0.05, -0.2, -0.1, -0.05])
        else:
            transformer.regression.dense.bias.assign_add([-0.2, 0.05, -0.05])
    if len(model.output_shape) != 2:
        return load_network(model)
    # As a run is exported: with probabilities and class.
    return load_network(model, classes=[str(i) for i in range(model.output_shape[-1])])


def files(network: Network) -> dict[str, onnx.ModelProto]:
    """The network without crops as outputs, in every form."""
    function = network.function(network.default_outputs)
    names = list(network.inputs), network.default_outputs

    def written(**options: Any) -> onnx.ModelProto:
        return convert(function, *names, OnnxOptions(**options))

    aligned = written(sampler="standard")
    for node in nodes(aligned.graph):
        if is_sampler(node):
            kept = [a for a in node.attribute if a.name != "align_corners"]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("align_corners", 1)])
    frozen = freeze(function)
    gathers = tf2onnx_repairs.convert(frozen, *names, {}, 18)
    name_dimensions(gathers)
    drop_unused_domains(gathers)
    set_ir_version(gathers)
    return {
        "dual": written(),
        "GridSample, aligned corners": aligned,
        "gathers": gathers,
        "no sampler": _without_sampler(written()),
    }


def _without_sampler(model: onnx.ModelProto) -> onnx.ModelProto:
    """Crops without sampling; what regresses theta still runs, as an output of its own.

    Crops of the images come in as another input: were they the images themselves, ONNX Runtime
    would join the pooling of both. Those of feature maps are the maps.
    """
    given = model.graph.input[0]
    for node in model.graph.node:
        if is_sampler(node):
            images, theta = node.input
            value = helper.make_tensor_value_info(theta, onnx.TensorProto.FLOAT, None)
            model.graph.output.append(value)
            if images == given.name:
                crops = model.graph.input.add()
                crops.CopyFrom(given)
                crops.name = images = "crops"
            node.CopyFrom(helper.make_node("Identity", [images], list(node.output)))
    del model.functions[:]
    return model


def signatures(network: Network) -> dict[str, Any]:
    """`serving_default` in TensorFlow: with the stock operations that export chooses, and with
    gathers."""
    from stn_tf.export.tensorflow.stock_samplers import with_stock_samplers

    function = network.function(network.default_outputs)
    return {"SavedModel": with_stock_samplers(function), "SavedModel, gathers": function}


def run_signature(function: Any, batch: Any) -> Callable[[], Any]:
    """A call of a signature on a batch."""
    images = tf.constant(batch)
    return lambda: function(images)
