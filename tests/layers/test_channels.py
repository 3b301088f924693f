"""Images with their channels first: what channels last gives, the other way round."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.layers import SpatialTransformer, Warp, record_transformations
from tests import reference

RNG = np.random.default_rng(4)
IMAGES = RNG.uniform(size=(2, 7, 6, 3)).astype(np.float32)


def first(images: np.ndarray) -> np.ndarray:
    return np.moveaxis(images, -1, 1)


class Means(keras.layers.Layer):
    """A localisation that asserts what it is given."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        assert images.shape[1:] == (3, 7, 6)
        return tf.reduce_mean(images, axis=[2, 3])

    def compute_output_shape(self, shape: tuple) -> tuple:
        return (shape[0], shape[1])


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("size", [None, (4, 5)])
def test_warp(size: tuple | None, in_graph: bool) -> None:
    theta = (np.eye(2, 3) + RNG.normal(0, 0.2, (2, 2, 3))).astype(np.float32)
    grid = reference.grid("affine", theta, size or (7, 6), False)
    expected = reference.grid_sample(IMAGES, grid, "bilinear", "zeros", False)
    layer = Warp("affine", size, data_format="channels_first")
    call = tf.function(layer.__call__) if in_graph else layer
    np.testing.assert_allclose(call([first(IMAGES), theta]), first(expected), atol=1e-5)


def test_warp_of_volumes_and_several_crops() -> None:
    volumes = RNG.uniform(size=(2, 3, 4, 5, 2)).astype(np.float32)
    theta = (np.eye(3, 4) + RNG.normal(0, 0.2, (2, 2, 3, 4))).astype(np.float32)
    last = Warp("affine-3d", (2, 3, 4))([volumes, theta])
    layer = Warp("affine-3d", (2, 3, 4), data_format="channels_first")
    crops = layer([np.moveaxis(volumes, -1, 1), theta])
    assert crops.shape == (2, 2, 2, 2, 3, 4)
    np.testing.assert_allclose(crops, np.moveaxis(last, -1, 2), atol=1e-6)


def test_spatial_transformer(tmp_path: Path) -> None:
    layer = SpatialTransformer(
        Means(), output_size=(4, 5), return_theta=True, data_format="channels_first"
    )
    inputs = keras.Input((3, 7, 6))
    crops, theta = layer(inputs)
    assert (crops.shape, theta.shape) == ((None, 3, 4, 5), (None, 2, 3))
    model = keras.Model(inputs, [crops, theta])
    layer.regression.dense.kernel.assign(RNG.normal(size=(3, 6)) * 0.3)
    with record_transformations() as records:
        crops, theta = model(first(IMAGES))
    grid = reference.grid("affine", np.asarray(theta), (4, 5), False)
    expected = reference.grid_sample(IMAGES, grid, "bilinear", "zeros", False)
    np.testing.assert_allclose(crops, first(expected), atol=1e-5)
    # A record has its channels last.
    np.testing.assert_array_equal(records[0].images, IMAGES)
    np.testing.assert_allclose(records[0].crops, expected, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects={"Means": Means})
    np.testing.assert_array_equal(loaded(first(IMAGES))[0], crops)


def test_keras_decides_where_nothing_is_said() -> None:
    assert Warp().data_format == "channels_last"
    try:
        keras.config.set_image_data_format("channels_first")
        assert Warp().get_config()["data_format"] == "channels_first"
        layer = SpatialTransformer(keras.layers.Flatten())
        assert layer.get_config()["data_format"] == "channels_first"
        np.testing.assert_array_equal(layer(first(IMAGES)), first(IMAGES))
        # What was saved before there was a choice.
        for saved in (Warp(), layer):
            old = saved.get_config()
            del old["data_format"]
            assert type(saved).from_config(old).data_format == "channels_last"
    finally:
        keras.config.set_image_data_format("channels_last")


def test_exception_raised() -> None:
    with pytest.raises(ValueError, match=r"`data_format` must be one of .* but it is 'NCHW'"):
        Warp(data_format="NCHW")
    layer = SpatialTransformer(keras.layers.Flatten(), data_format="channels_first")
    with pytest.raises(
        ValueError, match=r"must be \[N, C, H, W\] .*'channels_first', .*\[2, 7, 6\]"
    ):
        layer(IMAGES[..., 0])
