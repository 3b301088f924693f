"""The paper's networks: budgets, shapes, saving, errors."""

from pathlib import Path

import keras
import numpy as np
import pytest

from stn_tf.layers import record_transformations, spatial_transformers
from stn_tf.paper import NETWORKS, PARAMETER_BUDGET, build_network

# Height and width of the canvas, and whether crops are pooled, for R/P/E, RTS and TC.
EXPERIMENTS = [(28, False), (42, True), (60, True)]


def test_networks_of_the_paper() -> None:
    transforms = ("affine", "projective", "tps")
    names = {"fcn", "cnn", *(f"st-{kind}-{t}" for kind in ("fcn", "cnn") for t in transforms)}
    assert set(NETWORKS) == names


@pytest.mark.parametrize(("size", "pool_crops"), EXPERIMENTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_within_the_budget(name: str, size: int, pool_crops: bool) -> None:
    model = build_network(name, (size, size, 1), pool_crops=pool_crops)
    assert model.count_params() == pytest.approx(PARAMETER_BUDGET, rel=0.015)
    assert model.input_shape == (None, size, size, 1)
    assert model.output_shape == (None, 10)
    assert model.input.name == "images"


def test_localisation_is_the_papers() -> None:
    (transformer,) = spatial_transformers(build_network("st-fcn-affine", (28, 28, 1)))
    assert transformer.localisation.count_params() == 28 * 28 * 32 + 32 + 2 * (32 * 32 + 32)
    (transformer,) = spatial_transformers(build_network("st-cnn-tps", (28, 28, 1)))
    # 28 -> 14 -> conv 10 -> 5 -> conv 1 -> dense 20 -> 16 offsets.
    convolutions = 25 * 20 + 20 + 25 * 20 * 20 + 20
    assert transformer.localisation.count_params() == convolutions + 20 * 20 + 20
    assert transformer.regression.count_params() == 20 * 32 + 32


@pytest.mark.parametrize("name", [name for name in NETWORKS if name.startswith("st-")])
def test_untrained_transformer_shows_the_image(name: str) -> None:
    images = np.random.default_rng(0).uniform(size=(2, 28, 28, 1)).astype(np.float32)
    model = build_network(name, (28, 28, 1))
    with record_transformations() as records:
        model(images)
    np.testing.assert_array_equal(records[0].crops, images)


def test_crop_size_classes_and_channels() -> None:
    model = build_network("st-cnn-affine", (64, 48, 3), 7, crop_size=(32, 40))
    assert spatial_transformers(model)[0].output_size == (32, 40)
    assert model.output_shape == (None, 7)


def test_saves_and_loads(tmp_path: Path) -> None:
    images = np.random.default_rng(0).uniform(size=(2, 42, 42, 1)).astype(np.float32)
    model = build_network("st-cnn-projective", (42, 42, 1), pool_crops=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


def test_exception_raised() -> None:
    with pytest.raises(ValueError, match=r"`name` must be one of fcn, cnn, .* but it is 'resnet'"):
        build_network("resnet", (28, 28, 1))
    with pytest.raises(ValueError, match="`input_shape` must leave at least 21 x 21 pixels"):
        build_network("cnn", (20, 28, 1))
    with pytest.raises(ValueError, match="at least 28 x 28 for a convolutional localisation"):
        build_network("st-cnn-affine", (24, 28, 1))
