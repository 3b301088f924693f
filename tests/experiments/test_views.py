"""What is drawn of an image, and of what transformers read of it."""

import keras
import numpy as np
import pytest

from stn_tf.experiments.views import drawn_images, picture_images
from stn_tf.interface import InputSpec, ModelInterface
from stn_tf.layers import SpatialTransformer, record_transformations


def _interface(shape, **changes) -> ModelInterface:
    values = {"layout": "NHWC", "color_space": "rgb", "value_range": (0.0, 1.0), **changes}
    spec = InputSpec(name="images", dtype="float32", shape=(None, *shape), **values)
    return ModelInterface(inputs=(spec,), outputs=())


def _look(images, transform="affine", **options):
    localisation = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    layer = SpatialTransformer(localisation, transform, (5, 6), **options)
    crops = layer(images)
    kernel = layer.regression.trainable_variables[0]
    kernel.assign(np.random.default_rng(2).normal(0, 0.2, kernel.shape))
    return crops


@pytest.mark.parametrize("crops", [None, 2])
def test_a_transformer_of_the_image_preset(rng, crops):
    inputs = keras.Input((8, 10, 3))
    model = keras.Model(inputs, _look(inputs, crops=crops))
    images = rng.random((4, 8, 10, 3), np.float32)
    pictures = picture_images(model, images, _interface((8, 10, 3)))
    with record_transformations() as records:
        model(images)
    (record,) = records
    several = (4, crops or 1)
    expected = record.crops.numpy().reshape(*several, 5, 6, 3)
    grid = record.grid.numpy().reshape(*several, 5, 6, 2)
    theta = record.theta.numpy().reshape(*several, 2, 3)
    square = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    corners = ((theta @ square.T).swapaxes(-1, -2) + 1) * [5, 4] - 0.5
    for index, picture in enumerate(pictures):
        (view,) = picture.views
        assert view.of_image
        np.testing.assert_allclose(picture.image, images[index], atol=1e-6)
        np.testing.assert_array_equal(view.read, picture.image)
        np.testing.assert_allclose(view.crops, expected[index], atol=1e-5)
        np.testing.assert_allclose(view.grids, (grid[index] + 1) * [5, 4] - 0.5, atol=1e-4)
        np.testing.assert_allclose(view.corners, corners[index], atol=1e-4)


def test_images_that_a_model_scales_are_still_the_images(rng):
    inputs = keras.Input((8, 8, 3))
    scaled = keras.layers.Rescaling(1 / 0.2, offset=-2.5)(inputs)
    pictures = picture_images(
        keras.Model(inputs, _look(scaled)), rng.random((2, 8, 8, 3), np.float32),
        _interface((8, 8, 3)),
    )  # fmt: skip
    assert pictures[0].views[0].of_image
    assert 0.0 <= pictures[0].views[0].crops.min() < pictures[0].views[0].crops.max() <= 1.0


def test_features_are_drawn_as_what_they_are(rng):
    inputs = keras.Input((8, 8, 3))
    features = keras.layers.Conv2D(4, 3)(inputs)
    pictures = picture_images(
        keras.Model(inputs, _look(features)), rng.random((2, 8, 8, 3), np.float32),
        _interface((8, 8, 3)),
    )  # fmt: skip
    (view,) = pictures[1].views
    assert not view.of_image
    assert view.read.shape == (6, 6, 1)
    assert (view.read.min(), view.read.max()) == (0.0, 1.0)


@pytest.mark.parametrize("crops", [None, 2])
def test_volumes_are_flattened_along_depth(rng, crops):
    inputs = keras.Input((4, 6, 8, 1))
    localisation = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    layer = SpatialTransformer(localisation, "affine-3d", (5, 4, 7), crops=crops)
    model = keras.Model(inputs, layer(inputs))
    kernel = layer.regression.trainable_variables[0]
    kernel.assign(rng.normal(0, 0.05, kernel.shape))
    spec = InputSpec(name="volume", dtype="float32", shape=(None, 4, 6, 8, 1), layout="NDHWC")
    volumes = rng.random((3, 4, 6, 8, 1), np.float32)
    pictures = picture_images(model, volumes, ModelInterface(inputs=(spec,), outputs=()))
    with record_transformations() as records:
        model(volumes)
    theta = records[0].theta.numpy().reshape(3, crops or 1, 3, 4).astype(np.float64)
    shown = records[0].crops.numpy().reshape(3, crops or 1, 5, 4, 7, 1).mean(axis=2)
    square = np.array([[-1, -1, 0, 1], [1, -1, 0, 1], [1, 1, 0, 1], [-1, 1, 0, 1]])
    corners = ((theta @ square.T).swapaxes(-1, -2)[..., :2] + 1) * [4, 3] - 0.5
    x, y = np.meshgrid((np.arange(7) + 0.5) / 3.5 - 1, (np.arange(4) + 0.5) / 2 - 1)
    middle = np.stack([x, y, 0 * x, 0 * x + 1], -1)
    grids = (np.einsum("nkij,hwj->nkhwi", theta, middle)[..., :2] + 1) * [4, 3] - 0.5
    for index, picture in enumerate(pictures):
        assert picture.flattened
        np.testing.assert_allclose(picture.image, stretched(volumes[index].mean(0)), atol=1e-5)
        (view,) = picture.views
        assert view.of_image
        np.testing.assert_allclose(view.corners, corners[index], atol=1e-4)
        np.testing.assert_allclose(view.grids, grids[index], atol=1e-4)
        expected = [stretched(crop) for crop in shown[index]]
        np.testing.assert_allclose(view.crops, expected, atol=1e-5)


def stretched(values):
    return (values - values.min()) / np.ptp(values)


def test_drawn_images_preset(rng):
    pixels = rng.integers(0, 256, (2, 4, 5, 3)).astype(np.float32)
    spec = {"value_range": (0.0, 1.0), "mean": (0.4,), "std": (0.2,)}
    interface = _interface((4, 5, 3), **spec)
    given = interface.image.from_pixels(pixels)
    np.testing.assert_allclose(drawn_images(given, interface), pixels / 255, atol=1e-5)
    first = _interface((3, 4, 5), layout="NCHW")
    np.testing.assert_allclose(
        drawn_images(np.moveaxis(pixels / 255, -1, 1), first), pixels / 255, atol=1e-5
    )


def test_images_of_unknown_range_are_stretched(rng):
    images = rng.normal(40, 7, (2, 4, 5, 3))
    drawn = drawn_images(images, _interface((4, 5, 3), value_range=None))
    for image, shown in zip(images, drawn, strict=True):
        expected = (image - image.min()) / np.ptp(image)
        np.testing.assert_allclose(shown, expected, atol=1e-5)
    channels = _interface((4, 5, 7), value_range=None, color_space=None)
    assert drawn_images(rng.random((2, 4, 5, 7)), channels).shape == (2, 4, 5, 1)


def test_what_is_no_image_is_not_drawn(rng):
    assert drawn_images(rng.random((2, 9)), _interface((9,), layout=None)) is None
    assert drawn_images({"a": rng.random((2, 9))}, ModelInterface(inputs=(), outputs=())) is None
