"""How deep a localisation is, and how far rounding in it may move theta."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf import SpatialTransformer
from stn_tf.export import export_model
from stn_tf.export.proof.expectations import Case
from stn_tf.export.proof.tolerances import THETA, tolerance
from stn_tf.export.publish.manifest import Sampler
from stn_tf.export.source.graph_facts import depth_of
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec


def test_the_longest_chain_counts() -> None:
    found = []

    @tf.function(autograph=False)
    def graph(x: tf.Tensor) -> tf.Tensor:
        maps = tf.nn.conv2d(x, tf.ones([1, 1, 3, 3]), 1, "SAME")
        long = maps
        for _ in range(5):
            long = tf.nn.relu(tf.nn.depthwise_conv2d(long, tf.ones([3, 3, 3, 1]), [1] * 4, "SAME"))
        both = tf.reduce_mean(long + maps, axis=[1, 2]) @ tf.ones([3, 2])
        found.extend(map(depth_of, (x, maps, long, both, tf.reduce_sum(maps) + both)))
        return both

    graph.get_concrete_function(tf.TensorSpec([None, 8, 8, 3]))
    assert found == [0, 1, 6, 7, 7]


@pytest.mark.parametrize(
    ("depth", "precision", "times"),
    [(0, "float32", 1), (5, "float32", 1), (54, "float32", 50), (54, "float16", 1), (9, "int8", 5)],
)
def test_theta_may_move_with_depth(depth: int, precision: str, times: int) -> None:
    images = InputSpec(name="x", dtype="float32", shape=(None, 8, 8, 3), layout="NHWC")
    theta = OutputSpec(name="theta", dtype="float32", shape=(None, 2, 3), meaning="theta")
    interface = ModelInterface(inputs=(images,), outputs=(theta,))
    case = Case("real", {"x": np.zeros((1, 8, 8, 3), np.float32)})
    sampler = Sampler(
        transform="affine",
        kernel="bilinear",
        padding="zeros",
        align_corners=False,
        input_size=(8, 8),
        output_size=(8, 8),
        reads_images=True,
        depth=depth,
    )
    expected = np.eye(2, 3, dtype=np.float32)[None]
    allowed = tolerance(interface, case, "theta", expected, precision=precision, sampler=sampler)
    assert allowed == pytest.approx(times * THETA[precision])


@pytest.mark.slow
def test_the_depth_is_that_of_the_model(tmp_path: Path) -> None:
    images = keras.Input((16, 16, 3), name="images")
    localisation = keras.Sequential(
        [keras.layers.Conv2D(4, 3, activation="relu") for _ in range(6)]
        + [keras.layers.Flatten(), keras.layers.Dense(8, activation="relu")]
    )
    crops = SpatialTransformer(localisation, "affine", (8, 8))(images)
    logits = keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(crops))
    result = export_model(keras.Model(images, logits), tmp_path, input_range=(0, 1))
    (sampler,) = result.manifest.samplers
    assert sampler.depth == 7
    rows = [row for row in result.manifest.parity if row.output == "theta"]
    assert [row.tolerance for row in rows] == pytest.approx([3e-5] * len(rows))
