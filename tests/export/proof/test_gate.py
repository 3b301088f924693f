"""The gate closes on wrappers that are wrong, whatever the files and the wrapper agree on."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import ExportError, InputError, ParityError
from stn_tf.export import export_model, load_network
from stn_tf.export.source.heads import Head
from stn_tf.export.source.network import Network
from stn_tf.export.tensorflow import saved_model_file as saved_model_module


def _classifier(activation: str | None = "softmax", count: int = 4) -> keras.Model:
    keras.utils.set_random_seed(2)
    images = keras.Input((14, 12, 3))
    features = keras.layers.Conv2D(6, 3, activation="relu")(images)
    features = keras.layers.Dense(count, activation)(keras.layers.Flatten()(features))
    return keras.Model(images, features)


def _two() -> keras.Model:
    images = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(images)
    return keras.Model(
        images,
        {"left": keras.layers.Dense(3)(flat), "right": keras.layers.Dense(3)(flat)},
    )


def _network(**declared: Any) -> Network:
    return load_network(_classifier(), input_range=(0, 1), **declared)


def _rewrapped(
    network: Network, change: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]
) -> Network:
    answer = network.answer
    return dataclasses.replace(network, answer=lambda values: change(dict(answer(values))))


def _refused(network: Network, tmp_path: Any, output: str, **choices: Any) -> None:
    with pytest.raises(ParityError, match=rf"^`{output}` of .* Nothing was written.*\.$"):
        export_model(network, tmp_path / "out", **choices)
    assert list(tmp_path.iterdir()) == []


def test_the_honest_wrapper_passes(tmp_path):
    assert export_model(_network(), tmp_path / "out").version_dir.is_dir()


def test_a_second_softmax(tmp_path):
    def twice(answers: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return answers | {"probabilities": tf.nn.softmax(answers["probabilities"])}

    _refused(_rewrapped(_network(), twice), tmp_path, "probabilities")


def test_a_second_softmax_of_the_models_own_output(tmp_path):
    def twice(answers: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return answers | {"output": tf.nn.softmax(answers["output"])}

    _refused(_rewrapped(_network(), twice), tmp_path, "output")


def test_a_head_that_forgets_that_a_softmax_was_taken(tmp_path, monkeypatch):
    honest = Head.derive

    def forgetful(head: Head, own: Any) -> dict[str, tf.Tensor]:
        return honest(dataclasses.replace(head, activated=False), own)

    monkeypatch.setattr(Head, "derive", forgetful)
    _refused(_network(), tmp_path, "probabilities")


def test_swapped_outputs(tmp_path):
    def swapped(answers: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"left": answers["right"], "right": answers["left"]}

    _refused(_rewrapped(load_network(_two()), swapped), tmp_path, "(left|right)")


def test_a_class_too_far(tmp_path):
    def next_class(answers: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return answers | {"class": (answers["class"] + 1) % 4}

    _refused(_rewrapped(_network(), next_class), tmp_path, "class")


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        {"value_range": (0.0, 255.0)},
        pytest.param({"value_range": (-1.0, 1.0)}, marks=pytest.mark.full),
        {"resize": "squash"},
        pytest.param({"resize": "center_crop"}, marks=pytest.mark.full),
        pytest.param({"interpolation": "nearest"}, marks=pytest.mark.full),
        {"interpolation": "bilinear"},
        {"color_space": "bgr"},
        {"pad_value": 255.0},
    ],
    ids=str,
)
def test_bytes_that_are_decoded_otherwise(tmp_path, monkeypatch, wrong):
    honest = saved_model_module.decode_images

    def otherwise(image_bytes: tf.Tensor, spec: Any) -> tf.Tensor:
        return honest(image_bytes, spec.model_copy(update=wrong))

    monkeypatch.setattr(saved_model_module, "decode_images", otherwise)
    images = np.random.default_rng(4).integers(0, 256, (10, 14, 12, 3)).astype(np.uint8)
    _refused(_network(), tmp_path, ".*", images=images)


def test_other_weights_than_the_models(tmp_path):
    network, other = _network(), _network()
    other_model = _classifier()
    other_model.layers[-1].bias.assign_add([0.0, 0.01, 0.0, 0.0])
    changed = load_network(other_model, input_range=(0, 1))
    assert other.outputs == changed.outputs
    _refused(dataclasses.replace(network, answer=changed.answer), tmp_path, ".*")


def test_small_numbers_are_compared_too(tmp_path):
    images = keras.Input((8, 8, 1))
    small = keras.layers.Rescaling(1e-3)(keras.layers.Dense(3)(keras.layers.Flatten()(images)))
    network = load_network(keras.Model(images, small))

    def nudged(answers: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"output": answers["output"] * 1.05}

    _refused(_rewrapped(network, nudged), tmp_path, "output")


def test_a_tolerance_of_the_users_own(tmp_path):
    def nudged(answers: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"output": answers["output"] * 1.001}

    network = _rewrapped(load_network(_classifier(None)), nudged)
    result = export_model(network, tmp_path / "out", tolerance=0.01)
    assert result.manifest.tolerance == 0.01
    with pytest.raises(ParityError):
        export_model(network, tmp_path / "other")


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        ({"task": "binary"}, r"`task` must fit .* binary needs one output \[N, 1\], but they are"),
        ({"task": "dense"}, r"`task` must fit .* dense needs an output \[N, height, width"),
        ({"task": "boxes"}, "`task` must be one of classification, .* but it is 'boxes'"),
        ({"classes": ["a", "b"]}, "`classes` must name the 4 classes of the model, .* names 2"),
        ({"classes": ["a", "b", "a", "c"]}, "`classes` must be different names, but 'a' is there"),
        ({"task": "regression", "classes": list("abcd")}, "`classes` must be left out for"),
        ({"input_range": (255, 0)}, r"`input_range` must be two numbers, .* is \(255, 0\)"),
        ({"input_range": (0, 1), "input_std": (1.0, 0.0, 1.0)}, "`input_std` must be .* above 0"),
        ({"input_range": (0, 1), "input_mean": (1.0, 2.0)}, "`input_mean` must be one number or"),
        ({"input_shape": (9, 9, 3)}, r"`input_shape` must fit the input .* \[14, 12, 3\]"),
        ({"input_shape": (0, 9, 3)}, "`input_shape` must be the sizes of one image"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, declared, text):
    with pytest.raises(ExportError, match=text) as error:
        export_model(_classifier(), tmp_path / "out", **declared)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_images_outside_of_the_range_are_refused(tmp_path):
    images = np.random.default_rng(1).uniform(0, 255, (3, 14, 12, 3)).astype(np.float32)
    with pytest.raises(InputError, match=r"must hold values in 0\.\.1, .* go from .* to 25"):
        export_model(_classifier(), tmp_path / "out", images=images, input_range=(0, 1))
    assert list(tmp_path.iterdir()) == []


def test_int8_is_never_calibrated_with_made_up_images(tmp_path):
    from stn_tf.export import ExportOptions

    with pytest.raises(ExportError, match="int8 needs real images"):
        export_model(_network(), tmp_path / "out", options=ExportOptions(precision="int8"))
    assert list(tmp_path.iterdir()) == []
