"""Localisation networks, and where the crops of several transformers start."""

import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from stn_tf.geometry import MatrixTransform, get_transform
from stn_tf.layers import SalientRegion, SpatialTransformer

# The least image, in pixels, that tells where something is.
LEAST_SIZE = 16
# No layer is narrower, whatever the image.
LEAST_WIDTH = 32
_MOST_WIDTH = 64
# Images are pooled to between this and twice as many pixels before anything is computed.
_POOLED_SIZE = 48
# Until so many pixels are left, each of which has a weight of its own.
_FINAL_SIZE = 8
_FEATURES = 64
# Appendix A.6 of the paper.
_HEAD_WIDTH = 128
# How much wider than its share of the image a tile is: neighbours overlap.
_OVERLAP = 1.25


def small_localisation(input_shape: Sequence[int], *, name: str = "localisation") -> keras.Model:
    """Returns a network of images `[N, H, W, C]` in 0..1 -> features `[N, 64]`, untrained."""
    pool, widths = localisation_sizes(input_shape[:2])
    layers: list[keras.layers.Layer] = []
    if pool > 1:
        layers.append(keras.layers.AveragePooling2D(pool, name="pool"))
    layers.append(keras.layers.Rescaling(2.0, offset=-1.0, name="normalise"))
    for index, width in enumerate(widths, start=1):
        layers.append(_convolution(width, 3, 2, f"conv_{index}"))
    layers += [keras.layers.Flatten(name="flatten"), _dense(_FEATURES)]
    return keras.Sequential(layers, name=name)


def localisation_sizes(image_size: Sequence[int]) -> tuple[int, list[int]]:
    """Returns by how much `small_localisation` pools images, and the filters of its layers."""
    pool = max(1, min(image_size) // _POOLED_SIZE)
    times = max(2, math.ceil(math.log2(max(image_size) // pool / _FINAL_SIZE)))
    times = min(times, math.floor(math.log2(min(image_size) // pool / 2)))
    return pool, [min(_MOST_WIDTH, LEAST_WIDTH * 2**index) for index in range(times)]


def localisation_head(*, name: str = "localisation") -> keras.Model:
    """Returns a network of a backbone's features `[N, h, w, F]` -> `[N, 128]`, untrained.

    Source: Jaderberg et al. 2015, appendix A.6.
    """
    return keras.Sequential(
        [
            _convolution(_HEAD_WIDTH, 1, 1, "conv"),
            keras.layers.Flatten(name="flatten"),
            _dense(_HEAD_WIDTH),
        ],
        name=name,
    )


def salient_localisation(
    feature_shape: Sequence[int], *, name: str = "localisation"
) -> keras.Model:
    """Returns a network of a backbone's features `[N, h, w, F]` -> `[N, 131]`.

    The first three numbers are those of `SalientRegion`, the others those of `localisation_head`.
    """
    features = keras.Input(tuple(feature_shape), name="features")
    parts = [SalientRegion(name="region")(features), localisation_head(name="head")(features)]
    return keras.Model(features, keras.layers.Concatenate(name="both")(parts), name=name)


def start_at_region(transformer: SpatialTransformer, transformation: str, count: int) -> None:
    """Has crops start as the tiles of the salient region; what the head adds starts at zero.

    Args:
        transformer: Built, with a localisation as of `salient_localisation`, unconstrained.
        transformation: Its family: one that is linear in scale and translation.
        count: How many crops there are.
    """
    dense = transformer.regression.dense
    kernel = np.zeros(dense.kernel.shape, np.float32)
    start, *moved = (
        _theta(transformation, tiles(count), move) for move in ((0, 0), (1, 0), (0, 1))
    )
    kernel[:2] = [(theta - start).ravel() for theta in moved]
    kernel[2] = start.ravel()  # A tile of a window of half a side 1, and it shrinks with it.
    dense.kernel.assign(kernel)
    dense.bias.assign(np.zeros(dense.bias.shape))


def tiles(count: int, scale: float | None = None) -> list[tuple[float, float, float]]:
    """Returns (scale, tx, ty) of windows that tile an image, row by row.

    One window is in the middle. Outer windows reach the edges of the image; a last row with fewer
    windows is spread likewise.

    Args:
        count: How many.
        scale: The side of each, as a share of the image's; None for a quarter more than what tiles
            without overlap, and for all of the image where there is one window.
    """
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    if scale is None:
        scale = min(1.0, _OVERLAP / columns) if count > 1 else 1.0
    windows = []
    for row in range(rows):
        in_row = min(columns, count - row * columns)
        ty = _place(row, rows, 1.0 - scale)
        windows += [(scale, _place(column, in_row, 1.0 - scale), ty) for column in range(in_row)]
    return windows


def initial_theta(transformation: str, count: int, scale: float | None = None) -> np.ndarray:
    """Returns the theta `[count, *theta]`, float32, of each tile."""
    return _theta(transformation, tiles(count, scale))


def _theta(
    transformation: str,
    windows: Sequence[tuple[float, float, float]],
    move: Sequence[float] = (0, 0),
) -> np.ndarray:
    """Theta `[count, *theta]` of windows (scale, tx, ty), all of them moved by (x, y)."""
    matrices = [[[s, 0, tx + move[0]], [0, s, ty + move[1]], [0, 0, 1]] for s, tx, ty in windows]
    transform = get_transform(transformation)
    assert isinstance(transform, MatrixTransform)
    theta: np.ndarray = transform.from_matrix(tf.constant(matrices, tf.float32)).numpy()
    return theta


def _place(index: int, count: int, reach: float) -> float:
    return reach * (2.0 * index / (count - 1) - 1.0) if count > 1 else 0.0


def _convolution(width: int, kernel: int, stride: int, name: str) -> keras.layers.Layer:
    return keras.layers.Conv2D(
        width,
        kernel,
        stride,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )


def _dense(units: int) -> keras.layers.Layer:
    return keras.layers.Dense(
        units, activation="relu", kernel_initializer="he_normal", name="dense"
    )
