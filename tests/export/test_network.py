"""What kind of models can be exported, and what is said of others."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export.network import inspect


def _dense(activation: str | None = None) -> keras.Model:
    return keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, activation)]
    )


def test_softmax_is_not_applied_twice():
    images = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    model = _dense("softmax")
    values = inspect(model).outputs(tf.constant(images))
    np.testing.assert_allclose(values["probabilities"], model(images), atol=1e-7)
    np.testing.assert_allclose(tf.nn.softmax(values["logits"]), model(images), atol=1e-6)


def test_logits_get_a_softmax():
    images = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    model = _dense()
    values = inspect(model).outputs(tf.constant(images))
    np.testing.assert_array_equal(values["logits"], model(images))
    np.testing.assert_allclose(np.sum(values["probabilities"], axis=1), np.ones(5), atol=1e-6)


def test_samplers_are_listed_in_order(two_transformers):
    network = inspect(two_transformers)
    found = [(s.transform, s.kernel, s.output_size) for s in network.samplers]
    assert found == [("affine", "bilinear", (11, 10)), ("attention", "bicubic", (6, 6))]
    assert network.names("theta", "crops") == ("theta", "crops", "theta_2", "crops_2")


def test_subclassed_model_that_was_not_built():
    class Plain(keras.Model):
        def call(self, images):
            return tf.reduce_mean(images, axis=[1, 2])

    with pytest.raises(ExportError, match="`input_shape` must be given for a model"):
        inspect(Plain())
    assert inspect(Plain(), (4, 5, 3)).input_shape == (4, 5, 3)


def test_size_must_be_known():
    images = keras.Input((None, None, 1))
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))
    with pytest.raises(ExportError, match=r"known \(height, width, channels\), but it is \(None,"):
        inspect(model)
    assert inspect(model, (8, 9, 1)).input_shape == (8, 9, 1)


def test_two_inputs():
    inputs = [keras.Input((4, 4, 1)), keras.Input((4, 4, 1))]
    model = keras.Model(inputs, keras.layers.Flatten()(keras.layers.Add()(inputs)))
    with pytest.raises(ExportError, match=r"`model` must have one input, .* but it has 2"):
        inspect(model)


def test_output_must_be_one_vector_per_image():
    images = keras.Input((4, 4, 1))
    with pytest.raises(ExportError, match=r"one output \[N, classes\] of floats, but it gives"):
        inspect(keras.Model(images, keras.layers.Conv2D(2, 3)(images)))
