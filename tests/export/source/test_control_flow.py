"""Samplers in loops and branches of whole models: one node each, and the model's own answers."""

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

from stn_tf import warp
from stn_tf.export import ExportOptions, export_model, load_network
from stn_tf.export.onnx_passes.find import samplers_in
from stn_tf.layers import SpatialTransformer, record_transformations

IMAGES = tf.TensorSpec([None, 12, 12, 1], name="images")


def looked_at(images: tf.Tensor) -> tf.Tensor:
    """A warp that hangs on what it reads."""
    mean = tf.reduce_mean(images, axis=[1, 2, 3])
    entries = [1.0 - 0.1 * mean, 0.2 * mean, 0.1 * mean, -0.2 * mean, 1.0 - 0.1 * mean, -0.1 * mean]
    theta = tf.reshape(tf.stack(entries, -1), [-1, 2, 3])
    return warp(images, theta, (12, 12), transform="affine")


def _times(images: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    shapes = [tf.TensorShape([]), images.shape]
    step = lambda index, seen: (index + 1, looked_at(seen))  # noqa: E731
    start = [tf.constant(0), images]
    return tf.while_loop(lambda index, _: index < count, step, start, shape_invariants=shapes)[1]


FUNCTIONS = {
    "while": lambda images: _times(images, tf.constant(3)),
    "while, by the data": lambda images: _times(images, tf.cast(4 * images[0, 0, 0, 0], tf.int32)),
    "cond": lambda images: tf.cond(
        tf.reduce_mean(images) > 0.4, lambda: looked_at(images), lambda: 2.0 * images
    ),
    "map_fn": lambda images: tf.map_fn(lambda one: looked_at(one[tf.newaxis])[0], images),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_with_control_flow(name, tmp_path):
    body = FUNCTIONS[name]
    function = tf.function(
        lambda images: {"seen": body(images)}, input_signature=[IMAGES], autograph=False
    )
    result = export_model(function, tmp_path)
    file = onnx.load(result.version_dir / "model.onnx")
    (sampler,) = samplers_in(file)
    assert sampler.op_type == "AffineGridSample"
    assert {"If", "Loop"} & {node.op_type for node in file.graph.node}
    # No gathers, which is what samplers become that are not found.
    assert sum(node.op_type == "GatherND" for node in file.graph.node) == 0


@pytest.mark.parametrize("precision", ["float16", pytest.param("int8", marks=pytest.mark.slow)])
def test_less_precision_around_a_loop(precision, tmp_path):
    function = tf.function(
        lambda images: {"seen": 2.0 * _times(images + 1.0, tf.constant(3))},
        input_signature=[IMAGES],
        autograph=False,
    )
    images = np.random.default_rng(0).uniform(size=(10, 12, 12, 1)).astype(np.float32)
    options = ExportOptions(precision=precision)
    result = export_model(function, tmp_path, images=images, options=options)
    file = onnx.load(result.version_dir / "model.onnx")
    assert len(samplers_in(file)) == 1
    assert result.manifest.onnx.precision == precision


class Glimpse(keras.layers.Layer):
    """Looks at a part of an image that hangs on what it has seen."""

    def __init__(self, **options):
        super().__init__(**options)
        self.state_size = self.output_size = 8
        localisation = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(8)])
        self.look = SpatialTransformer(localisation, "affine", (6, 6), name="look")
        self.dense = keras.layers.Dense(8, activation="tanh")

    def build(self, shape):
        self.look.build((None, 12, 12, 1))
        self.dense.build((None, 44))

    def call(self, row, states):
        crops = self.look(tf.reshape(row, [-1, 12, 12, 1]))
        state = self.dense(tf.concat([tf.reshape(crops, [-1, 36]), states[0]], -1))
        return state, [state]


@pytest.mark.parametrize("unroll", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_transformer_in_a_keras_rnn_cell(unroll, tmp_path):
    keras.utils.set_random_seed(3)
    images = keras.Input((12, 12, 1), name="images")
    rows = keras.layers.RepeatVector(3)(keras.layers.Flatten()(images))
    seen = keras.layers.RNN(Glimpse(), unroll=unroll)(rows)
    model = keras.Model(images, keras.layers.Dense(5, name="scores")(seen))
    network = load_network(model)
    result = export_model(network, tmp_path)
    file = onnx.load(result.version_dir / "model.onnx")
    assert len(samplers_in(file)) == (3 if unroll else 1)
    told = [note for note in network.notes if note.startswith("What `look` does is no output")]
    assert len(told) == (0 if unroll else 1)
    assert len(network.looks) == (3 if unroll else 0)


def test_records_within_a_graph_leave_loops_out():
    layer = SpatialTransformer(
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)]), "affine", (6, 6)
    )
    other = SpatialTransformer(
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)]), "affine", (12, 12)
    )
    layer(np.zeros((1, 12, 12, 1), np.float32))
    other(np.zeros((1, 12, 12, 1), np.float32))
    counts = []

    @tf.function(input_signature=[IMAGES], autograph=False)
    def call(images):
        with record_transformations() as records:
            layer(other(images))
            result = tf.map_fn(lambda one: layer(one[tf.newaxis])[0], images)
        counts.append([record.layer for record in records])
        return result

    call(np.ones((2, 12, 12, 1), np.float32))
    assert counts[-1] == [other]
