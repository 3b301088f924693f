"""What kind of models can be exported, and what is said of others."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export.keras_network import inspect


def _dense(activation: str | None = None) -> keras.Model:
    return keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, activation)]
    )


def test_softmax_is_not_applied_twice():
    images = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    model = _dense("softmax")
    values = inspect(model).answer({"images": tf.constant(images)})
    np.testing.assert_allclose(values["probabilities"], model(images), atol=1e-7)
    np.testing.assert_allclose(tf.nn.softmax(values["logits"]), model(images), atol=1e-6)


def test_logits_get_a_softmax():
    images = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    model = _dense()
    values = inspect(model).answer({"images": tf.constant(images)})
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
    assert inspect(Plain(), (4, 5, 3)).image_shape == (4, 5, 3)


def test_size_must_be_known():
    images = keras.Input((None, None, 1))
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))
    with pytest.raises(ExportError, match=r"\(height, width, channels\), but it is \(None,"):
        inspect(model)
    assert inspect(model, (8, 9, 1)).image_shape == (8, 9, 1)


@pytest.mark.parametrize("structure", ["list", "dict"])
def test_several_inputs_and_outputs_keep_their_names(structure):
    one, two = keras.Input((4, 4, 1), name="left"), keras.Input((6,), name="right")
    inputs = [one, two] if structure == "list" else {"left": one, "right": two}
    flat = keras.layers.Flatten()(one)
    outputs = {
        "sum": keras.layers.Dense(3)(keras.layers.Concatenate()([flat, two])),
        "picture": keras.layers.Conv2D(2, 3)(one),
    }
    model = keras.Model(inputs, outputs)
    network = inspect(model)
    assert {name: tuple(spec.shape) for name, spec in network.inputs.items()} == {
        "left": (None, 4, 4, 1),
        "right": (None, 6),
    }
    assert network.outputs == network.default_outputs == ("sum", "picture")
    assert network.image_shape is None
    rng = np.random.default_rng(0)
    feeds = {name: rng.uniform(size=(2, *spec.shape[1:])) for name, spec in network.inputs.items()}
    feeds = {name: tf.constant(value, tf.float32) for name, value in feeds.items()}
    keys = ("left", "right")
    given = [feeds[key] for key in keys]
    expected = model(given if structure == "list" else feeds)
    found = network.answer(feeds)
    for name in outputs:
        np.testing.assert_array_equal(found[name], expected[name])


def test_pictures_as_output():
    images = keras.Input((4, 4, 1))
    network = inspect(keras.Model(images, keras.layers.Conv2D(2, 3, name="out")(images)))
    assert list(network.inputs) == ["images"]
    assert network.outputs == ("out",)
    assert not network.classifies
