"""What kind of models can be exported, and what is said of others."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export.source.declaration import Declaration
from stn_tf.export.source.keras_network import inspect

CLASSES = Declaration(classes=("ant", "bee", "cat"))


def _dense(activation: str | None = None) -> keras.Model:
    return keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, activation)]
    )


def _images() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)


def test_softmax_is_not_applied_twice():
    images, model = _images(), _dense("softmax")
    values = inspect(model, CLASSES).answer({"images": tf.constant(images)})
    np.testing.assert_array_equal(values["probabilities"], model(images))
    np.testing.assert_allclose(tf.nn.softmax(values["logits"]), model(images), atol=1e-6)
    # Found in the graph where no classes are declared: the output keeps a name of its own.
    network = inspect(model)
    values = network.answer({"images": tf.constant(images)})
    assert set(values) == set(network.outputs) == {"output", "probabilities", "class"}
    assert network.interface.task == "classification"
    np.testing.assert_array_equal(values["output"], model(images))
    np.testing.assert_array_equal(values["probabilities"], model(images))
    np.testing.assert_array_equal(values["class"], np.argmax(model(images), axis=1))


def test_logits_get_a_softmax():
    images, model = _images(), _dense()
    values = inspect(model, CLASSES).answer({"images": tf.constant(images)})
    logits = model(images).numpy()
    np.testing.assert_array_equal(values["logits"], logits)
    powers = np.exp(logits.astype(np.float64))
    expected = powers / powers.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(values["probabilities"], expected, atol=1e-6)
    np.testing.assert_array_equal(values["class"], expected.argmax(axis=1))


def test_numbers_that_nobody_declared_stay_numbers():
    network = inspect(_dense())
    assert network.outputs == network.default_outputs == ("output",)
    assert network.interface.task == "none"
    assert any(note.startswith("Task undecided: the output [?, 3]") for note in network.notes)
    np.testing.assert_array_equal(network.truth({"images": _images()})["output"].shape, [5, 3])


def test_samplers_are_listed_in_order(two_transformers):
    network = inspect(two_transformers)
    found = [(s.transform, s.kernel, s.output_size) for s in network.samplers]
    assert found == [("affine", "bilinear", (11, 10)), ("attention", "bicubic", (6, 6))]
    assert network.looks_named("theta", "crops") == ("theta", "crops", "theta_2", "crops_2")


def test_subclassed_model_that_was_not_built():
    class Plain(keras.Model):
        def call(self, images):
            return tf.reduce_mean(images, axis=[1, 2])

    with pytest.raises(ExportError, match="`input_shape` must be given for a model"):
        inspect(Plain())
    network = inspect(Plain(), Declaration(input_shape=(4, 5, 3)))
    assert network.interface.inputs[0].shape == (None, 4, 5, 3)


def test_sizes_may_stay_free_or_be_declared():
    images = keras.Input((None, None, 1))
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))
    network = inspect(model)
    (spec,) = network.interface.inputs
    assert (spec.shape, spec.layout) == ((None, None, None, 1), "NHWC")
    for size in ((3, 4), (9, 2)):
        values = np.random.default_rng(1).uniform(size=(2, *size, 1)).astype(np.float32)
        (found,) = network.answer({"images": tf.constant(values)}).values()
        np.testing.assert_allclose(found, values.mean(axis=(1, 2)), atol=1e-6)
    network = inspect(model, Declaration(input_shape=(8, 9, 1)))
    assert network.interface.inputs[0].shape == (None, 8, 9, 1)
    with pytest.raises(ExportError, match=r"`input_shape` must fit .* it is \[8, 9, 3\]"):
        inspect(model, Declaration(input_shape=(8, 9, 3)))


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
    layouts = {spec.name: spec.layout for spec in network.interface.inputs}
    assert layouts == {"left": "NHWC", "right": None}
    assert not network.interface.takes_images
    rng = np.random.default_rng(0)
    feeds = {name: rng.uniform(size=(2, *spec.shape[1:])) for name, spec in network.inputs.items()}
    feeds = {name: tf.constant(value, tf.float32) for name, value in feeds.items()}
    keys = ("left", "right")
    given = [feeds[key] for key in keys]
    expected = model(given if structure == "list" else feeds)
    found, truth = network.answer(feeds), network.truth({n: v.numpy() for n, v in feeds.items()})
    assert set(found) == set(truth) == set(outputs)
    for name in outputs:
        np.testing.assert_array_equal(found[name], expected[name])
        np.testing.assert_array_equal(truth[name], expected[name])


def test_pictures_as_output():
    images = keras.Input((4, 4, 1))
    network = inspect(keras.Model(images, keras.layers.Conv2D(2, 3, name="out")(images)))
    assert list(network.inputs) == ["images"]
    assert network.outputs == ("out",)
    assert network.interface.task == "none"
    assert network.interface.output("out").shape == (None, 2, 2, 2)
