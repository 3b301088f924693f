"""Samples spread over what a pixel covers, as an option of the layers."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.layers import SpatialTransformer, Warp, record_transformations
from tests import reference

RNG = np.random.default_rng(6)
IMAGES = RNG.uniform(size=(2, 12, 10, 3)).astype(np.float32)


def pooled() -> keras.Model:
    return keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()])


def looking(transform: str, size: tuple[int, int] | None, **options: Any) -> SpatialTransformer:
    """A layer that shrinks what it looks at."""
    initial = {
        "affine": [[1.6, 0.2, 0], [-0.2, 1.4, 0]],
        "projective": [1.5, 0, 0, 0, 1.5, 0, 0, 0],
    }
    layer = SpatialTransformer(
        pooled(), transform, size, antialias=2, initial_theta=initial[transform], **options
    )
    layer(IMAGES)
    kernel = layer.regression.dense.kernel
    kernel.assign(RNG.normal(size=kernel.shape) * 0.05)
    return layer


def expected(theta: np.ndarray, size: tuple[int, int], transform: str) -> np.ndarray:
    grids = reference.spread_grids(transform, theta, size, IMAGES.shape[1:-1], False, 2)
    samples = [reference.grid_sample(IMAGES, grid, "bilinear", "zeros", False) for grid in grids]
    return np.mean(samples, axis=0)


@pytest.mark.parametrize("size", [None, (6, 5)])
@pytest.mark.parametrize("transform", ["affine", "projective"])
def test_the_grid_that_is_shown_is_the_plain_one(
    transform: str, size: tuple[int, int] | None
) -> None:
    layer = looking(transform, size, return_theta=True, return_grid=True)
    with record_transformations() as records:
        crops, theta, grid = layer(IMAGES)
    size = size or IMAGES.shape[1:-1]
    plain = reference.grid(transform, np.asarray(theta), size, False)
    np.testing.assert_allclose(grid, plain, atol=1e-5)
    np.testing.assert_array_equal(records[0].grid, grid)
    np.testing.assert_array_equal(records[0].crops, crops)
    np.testing.assert_allclose(crops, expected(np.asarray(theta), size, transform), atol=1e-5)
    layer.return_grid = layer.return_theta = False
    np.testing.assert_allclose(layer(IMAGES), crops, atol=1e-6)
    # Every point that is read, as four grids below one another.
    points = layer.warp.points(theta, IMAGES.shape[1:-1])
    grids = reference.spread_grids(transform, theta, size, IMAGES.shape[1:-1], False, 2)
    np.testing.assert_allclose(points, np.concatenate(grids, axis=1), atol=1e-5)


def test_save_and_load(tmp_path: Path) -> None:
    inputs = keras.Input((None, None, 3))
    layer = looking("affine", None)
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = loaded.layers[-1]
    assert (again.antialias, again.get_config()["antialias"]) == (2, 2)
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
    theta = np.asarray(layer.theta(IMAGES))
    np.testing.assert_allclose(
        model.predict(IMAGES, verbose=0), expected(theta, (12, 10), "affine"), atol=1e-5
    )


def test_what_was_saved_before_there_was_a_choice() -> None:
    for layer in (Warp(), SpatialTransformer(pooled())):
        old = layer.get_config()
        assert old.pop("antialias") == 1
        assert type(layer).from_config(old).antialias == 1


def test_channels_first_volumes_and_several_crops() -> None:
    volumes = RNG.uniform(size=(2, 6, 7, 5, 2)).astype(np.float32)
    theta = (1.1 * np.eye(3, 4) + RNG.normal(0, 0.1, (2, 3, 3, 4))).astype(np.float32)
    layer = Warp("affine-3d", (2, 3, 2), antialias=2, data_format="channels_first")
    crops = layer([np.moveaxis(volumes, -1, 1), theta])
    assert (
        crops.shape
        == (2, 3, 2, 2, 3, 2)
        == layer.compute_output_shape([(2, 2, 6, 7, 5), theta.shape])
    )
    for index in range(3):
        grids = reference.spread_grids("affine-3d", theta[:, index], (2, 3, 2), (6, 7, 5), False, 2)
        samples = [reference.grid_sample(volumes, g, "bilinear", "zeros", False) for g in grids]
        wanted = np.moveaxis(np.mean(samples, axis=0), -1, 1)
        np.testing.assert_allclose(crops[:, index], wanted, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy: str) -> None:
    theta = np.tile(1.5 * stn_tf.identity(), (2, 1, 1))
    crops = Warp("affine", (6, 5), antialias=2, dtype=policy)([IMAGES, theta])
    assert crops.dtype == policy.removeprefix("mixed_")
    atol = 2e-3 if policy == "mixed_float16" else 2e-2
    np.testing.assert_allclose(
        tf.cast(crops, tf.float32), expected(theta, (6, 5), "affine"), atol=atol
    )


def test_learns_through_it() -> None:
    layer = looking("affine", (6, 5))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(IMAGES, training=True) ** 2)
    for gradient in tape.gradient(loss, layer.trainable_variables):
        assert np.all(np.isfinite(gradient))
        assert np.abs(gradient).max() > 0


def test_exception_raised() -> None:
    message = "`antialias` must be an integer of at least 1, but it is 0"
    with pytest.raises(ValueError, match=message):
        Warp(antialias=0)
    with pytest.raises(ValueError, match=message):
        SpatialTransformer(pooled(), antialias=0)
