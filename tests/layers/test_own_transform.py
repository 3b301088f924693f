"""A family of the user's own in a saved model: the same one again, or an error."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.geometry import MatrixTransform
from stn_tf.layers import SpatialTransformer, ThetaRegression, Warp
from tests import reference

IMAGES = np.random.default_rng(0).uniform(size=(2, 6, 5, 1)).astype(np.float32)


class Zoom(MatrixTransform):
    """Scales about a centre, which is an option."""

    name = "affine"  # One of ours, of which it must not be taken.
    affine = True
    parameters = ("zoom",)
    theta_shape = (1,)

    def __init__(self, centre: Any = (0.0, 0.0)) -> None:
        self.centre = tuple(centre)

    def options(self) -> dict[str, Any]:
        return {"centre": list(self.centre)}

    def identity(self) -> np.ndarray:
        return np.ones(1, np.float32)

    def matrix(self, theta: Any) -> tf.Tensor:
        zoom = self.check(theta)[..., 0]
        x, y = self.centre
        zero, one = tf.zeros_like(zoom), tf.ones_like(zoom)
        rows = [[zoom, zero, x * (1 - zoom)], [zero, zoom, y * (1 - zoom)], [zero, zero, one]]
        return tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)

    def from_matrix(self, matrix: tf.Tensor) -> tf.Tensor:
        return matrix[..., 0, :1]


@keras.saving.register_keras_serializable("one")
class RegisteredZoom(Zoom):
    pass


@keras.saving.register_keras_serializable("another")
class OtherZoom(Zoom):
    """Of the same name, and the other way round."""

    def matrix(self, theta: Any) -> tf.Tensor:
        return super().matrix(2.0 - self.check(theta))


OtherZoom.__name__ = "RegisteredZoom"


def model(family: Any) -> keras.Model:
    images = keras.Input(IMAGES.shape[1:])
    layer = SpatialTransformer(
        keras.layers.Flatten(), family, (4, 4), initial_theta=[0.6], constraints={"zoom": (0.1, 2)}
    )
    theta = ThetaRegression(family, initial_theta=[0.7])(images)
    return keras.Model(images, [layer(images), Warp(family, (3, 3))([images, theta])])


@pytest.mark.parametrize("family", [RegisteredZoom, OtherZoom])
def test_own_families_are_loaded_with_their_options(family: type, tmp_path: Path) -> None:
    saved = model(family((0.5, -0.25)))
    saved.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    layers = [layer for layer in loaded.layers if hasattr(layer, "transform")]
    assert [type(layer.transform) for layer in layers] == [family] * 3
    assert all(layer.transform.centre == (0.5, -0.25) for layer in layers)
    for before, after in zip(saved(IMAGES), loaded(IMAGES), strict=True):
        np.testing.assert_array_equal(after, before)
    zoom = 0.6 if family is RegisteredZoom else 1.4
    centre = np.array([0.5, -0.25])
    grid = np.stack([centre + zoom * (reference.base_grid((4, 4), False) - centre)] * 2)
    expected = reference.grid_sample(IMAGES, grid, "bilinear", "zeros", False)
    np.testing.assert_allclose(loaded(IMAGES)[0], expected, atol=1e-5)


@pytest.mark.parametrize("build", [Warp, ThetaRegression])
def test_unregistered_families_exception_raised(build: type) -> None:
    with pytest.raises(ValueError, match="registered with Keras") as raised:
        build(Zoom()).get_config()
    assert str(raised.value) == (
        "`transform` must be of stn-tf or registered with Keras to be saved, but Zoom is neither. "
        'Decorate the class with @keras.saving.register_keras_serializable("my_package").'
    )


def test_a_model_with_an_unregistered_family_is_not_saved(tmp_path: Path) -> None:
    network = model(Zoom())
    assert network(IMAGES)[0].shape == (2, 4, 4, 1)  # Using it is no problem.
    with pytest.raises(ValueError, match="Decorate the class with @keras"):
        network.save(tmp_path / "model.keras")
    with keras.saving.custom_object_scope({"Zoom": Zoom}):
        network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Zoom": Zoom})
    np.testing.assert_array_equal(loaded(IMAGES)[0], network(IMAGES)[0])


def test_our_families_are_saved_by_name(tmp_path: Path) -> None:
    network = keras.Sequential([keras.Input((6, 5, 1)), SpatialTransformer(keras.layers.Flatten())])
    network.save(tmp_path / "model.keras")
    config = json.loads(zipfile.ZipFile(tmp_path / "model.keras").read("config.json"))
    layer = config["config"]["layers"][1]["config"]
    assert (layer["transform"], layer["transform_options"]) == ("affine", {})
