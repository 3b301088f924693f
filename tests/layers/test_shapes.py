"""Shapes that Keras asks for, sizes that only a running graph knows, and many images at a time."""

import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.geometry import TRANSFORMS, get_transform
from stn_tf.layers import SpatialTransformer, ThetaRegression, Warp, record_transformations
from tests import reference

RNG = np.random.default_rng(2)
FLAGS = list(itertools.product([False, True], [False, True]))


def pooled(units: int = 4) -> keras.Model:
    """A localisation for images of any size."""
    return keras.Sequential(
        [keras.layers.Conv2D(units, 3, activation="relu"), keras.layers.GlobalAveragePooling2D()]
    )


def moved(layer: SpatialTransformer, images: np.ndarray) -> SpatialTransformer:
    layer(images)
    kernel = layer.regression.dense.kernel
    kernel.assign(np.random.default_rng(1).normal(size=kernel.shape) * 0.4)
    return layer


@pytest.mark.parametrize("crops", [None, 3])
@pytest.mark.parametrize(("theta", "grid"), FLAGS)
@pytest.mark.parametrize("size", [None, (4, 3)])
def test_spatial_transformer_tells_its_shapes(
    size: Any, theta: bool, grid: bool, crops: int | None
) -> None:
    layer = SpatialTransformer(
        pooled(),
        "similarity",
        size,
        return_theta=theta,
        return_grid=grid,
        crops=crops,
        dtype="mixed_float16",
    )
    told = layer.compute_output_shape((2, 6, 5, 2))
    symbolic = layer(keras.Input((6, 5, 2), batch_size=2))
    actual = layer(RNG.uniform(size=(2, 6, 5, 2)).astype(np.float32))
    if not (theta or grid):
        told, symbolic, actual = (told,), (symbolic,), (actual,)
    assert list(told) == [tuple(output.shape) for output in actual]
    assert list(told) == [output.shape for output in symbolic]
    assert [output.dtype for output in symbolic] == [output.dtype.name for output in actual]
    unknown = layer.compute_output_shape((None, None, None, 2))
    first = unknown if not (theta or grid) else unknown[0]
    assert first == (None, *(() if crops is None else (crops,)), *(size or (None, None)), 2)


def test_parts_tell_their_shapes() -> None:
    assert ThetaRegression("tps").compute_output_shape((None, 8)) == (None, 16, 2)
    assert ThetaRegression("attention", crops=5).compute_output_shape((2, 8)) == (2, 5, 3)
    shapes = [(2, 8, 9, 3), (2, 2, 3)]
    assert Warp("affine", (4, 5)).compute_output_shape(shapes) == (2, 4, 5, 3)
    assert Warp("affine").compute_output_shape([shapes[0], (2, 7, 2, 3)]) == (2, 7, 8, 9, 3)
    first = Warp("affine", (4, 5), data_format="channels_first")
    assert first.compute_output_shape([(2, 3, 8, 9), (2, 7, 2, 3)]) == (2, 7, 3, 4, 5)


@pytest.mark.parametrize("frames", [3, None])
def test_time_distributed(frames: int | None, tmp_path: Path) -> None:
    videos = RNG.uniform(size=(2, 3, 7, 6, 2)).astype(np.float32)
    layer = moved(SpatialTransformer(pooled(), output_size=(4, 5)), videos[:, 0])
    expected = np.stack([layer(videos[:, frame]) for frame in range(3)], axis=1)
    wrapped = keras.layers.TimeDistributed(layer)
    np.testing.assert_allclose(wrapped(videos), expected, atol=1e-6)
    inputs = keras.Input((frames, 7, 6, 2))
    outputs = wrapped(inputs)
    assert outputs.shape == (None, frames, 4, 5, 2)
    model = keras.Model(inputs, outputs)
    np.testing.assert_allclose(model(videos), expected, atol=1e-6)
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(model(videos), expected, atol=1e-6)
    model.compile(jit_compile=False)
    np.testing.assert_allclose(model.predict(videos, verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_grids_of_a_size_that_only_a_graph_knows(transform: str, align_corners: bool) -> None:
    family = get_transform(transform)
    noise = RNG.uniform(-0.3, 0.3, (2, *family.theta_shape))
    theta = (family.identity() + noise).astype(np.float32)
    shape = [None] * family.dimensions

    @tf.function(input_signature=[tf.TensorSpec(theta.shape), tf.TensorSpec([2, *shape, 1])])
    def grid(theta: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        return family.grid(theta, tf.shape(images)[1:-1], align_corners=align_corners)

    assert grid.get_concrete_function().output_shapes == [2, *shape, family.dimensions]
    for size in [(4, 5, 6), (1, 1, 1), (3, 1, 7)]:
        size = size[: family.dimensions]
        made = grid(theta, tf.zeros([2, *size, 1]))
        expected = reference.grid(transform, theta, size, align_corners)
        np.testing.assert_allclose(made, expected, atol=2e-6)


@pytest.mark.parametrize("use", [False, True])
@pytest.mark.parametrize("transform", ["affine", "projective", "tps"])
def test_images_of_any_size_in_a_graph(transform: str, use: bool) -> None:
    images = RNG.uniform(size=(2, 9, 7, 2)).astype(np.float32)
    layer = moved(SpatialTransformer(pooled(), transform, return_grid=True), images)
    _, grid = layer(images)
    theta = np.asarray(layer.theta(images))
    np.testing.assert_allclose(grid, reference.grid(transform, theta, (9, 7), False), atol=1e-5)
    expected = reference.grid_sample(images, np.asarray(grid), "bilinear", "zeros", False)
    signature = [tf.TensorSpec([None, None, None, 2])]

    @tf.function(input_signature=signature)
    def call(images: tf.Tensor) -> list[tf.Tensor]:
        with stn_tf.native_sampler(use):
            return layer(images)

    assert call.get_concrete_function().output_shapes[0] == [None, None, None, 2]
    for actual, wanted in zip(call(images), (expected, grid), strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-5)
    layer.return_grid = False

    @tf.function(input_signature=signature)
    def record(images: tf.Tensor) -> list[tf.Tensor]:
        with stn_tf.native_sampler(use), record_transformations() as records:
            layer(images)
        (seen,) = records
        corners = stn_tf.corners_pixels(
            seen.theta, tf.shape(seen.images)[1:-1], transform=transform
        )
        return [seen.crops, seen.grid, corners]

    corners = stn_tf.corners_pixels(theta, (9, 7), transform=transform)
    for actual, wanted in zip(record(images), (expected, grid, corners), strict=True):
        np.testing.assert_allclose(actual, wanted, atol=1e-4)


@pytest.mark.parametrize("size", [None, (5, 4)])
def test_functional_models_of_images_of_any_size(size: Any, tmp_path: Path) -> None:
    inputs = keras.Input((None, None, 3))
    layer = SpatialTransformer(pooled(), output_size=size, return_theta=True)
    crops, theta = layer(inputs)
    assert crops.shape == (None, *(size or (None, None)), 3)
    model = keras.Model(inputs, [crops, theta])
    moved(layer, np.zeros((1, 5, 5, 3), np.float32))
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    for height, width in ((6, 9), (11, 4)):
        images = RNG.uniform(size=(2, height, width, 3)).astype(np.float32)
        crops, theta = model.predict(images, verbose=0)
        grid = reference.grid("affine", theta, size or (height, width), False)
        expected = reference.grid_sample(images, grid, "bilinear", "zeros", False)
        np.testing.assert_allclose(crops, expected, atol=1e-5)


def test_sizes_exception_raised() -> None:
    theta = stn_tf.identity()[None]
    with pytest.raises(ValueError, match=r"`size` must be an integer tensor of shape \[2\]"):
        stn_tf.affine_grid(theta, tf.constant([1.0, 2.0]))
    with pytest.raises(ValueError, match=r"`input_size` must be an integer tensor of shape \[2\]"):
        stn_tf.corners_pixels(theta, tf.constant([1, 2, 3]))
    with pytest.raises(ValueError, match=r"`size` must be \(height, width\).* \[0, 3\]"):
        stn_tf.affine_grid(theta, tf.constant([0, 3]))
