"""Output points, and what rows of coefficients map them to."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

# `[P, d]`, float64: a tensor where their number is known only when a graph runs.
Points: TypeAlias = np.ndarray | tf.Tensor
# Nearer to the horizon than this, a point reads far outside, with a finite gradient.
_HORIZON = 1e-6


def base_points(size: Sequence[int] | tf.Tensor, *, align_corners: bool = False) -> Points:
    """Returns the normalised coordinates of every output pixel, `[P, d]` float64, x fastest."""
    if tf.is_tensor(size):
        return _dynamic_base_points(size, align_corners)
    axes = []
    for length in size:
        index = np.arange(length, dtype=np.float64)
        if align_corners:
            axes.append(2.0 * index / (length - 1) - 1.0 if length > 1 else index * 0.0)
        else:
            axes.append((2.0 * index + 1.0) / length - 1.0)
    planes = np.meshgrid(*axes, indexing="ij")
    return np.stack([plane.reshape(math.prod(size)) for plane in reversed(planes)], axis=-1)


def _dynamic_base_points(size: tf.Tensor, align_corners: bool) -> tf.Tensor:
    axes = []
    for length in tf.unstack(size):
        index, count = tf.cast(tf.range(length), tf.float64), tf.cast(length, tf.float64)
        if align_corners:
            axes.append(
                2.0 * index / tf.maximum(count - 1.0, 1.0) - tf.cast(length > 1, index.dtype)
            )
        else:
            axes.append((2.0 * index + 1.0) / count - 1.0)
    planes = tf.meshgrid(*axes, indexing="ij")
    return tf.stack([tf.reshape(plane, [-1]) for plane in reversed(planes)], axis=-1)


def coordinate(points: Points, axis: int, dtype: tf.DType) -> tf.Tensor:
    """Returns one coordinate of the points, `[P]`."""
    if isinstance(points, np.ndarray):
        return tf.constant(points[:, axis], dtype)
    return tf.cast(points[:, axis], dtype)


def affine_map(rows: Sequence[Sequence[tf.Tensor]], points: Points) -> list[tf.Tensor]:
    """Applies rows of coefficients `[...]`, the last one added, to points `[P, d]`.

    Sums of products rather than a matrix product: exact for the identity, and never in TF32.
    """
    coordinates = []
    for *factors, shift in rows:
        columns = [coordinate(points, axis, shift.dtype) for axis in range(len(factors))]
        total = factors[0][..., tf.newaxis] * columns[0]
        for factor, column in zip(factors[1:], columns[1:], strict=True):
            total += factor[..., tf.newaxis] * column
        coordinates.append(total + shift[..., tf.newaxis])
    return coordinates


def projective_map(rows: Sequence[Sequence[tf.Tensor]], points: Points) -> list[tf.Tensor]:
    """The same, and divides by what the last row gives."""
    *coordinates, depth = affine_map(rows, points)
    horizon = tf.where(depth < 0, -_HORIZON * tf.ones_like(depth), _HORIZON)
    depth = tf.where(tf.abs(depth) < _HORIZON, horizon, depth)
    return [coordinate / depth for coordinate in coordinates]


def weighted_sums(weights: Points, values: tf.Tensor) -> list[tf.Tensor]:
    """Sums values `[..., m, d]` with constant weights `[P, m]`: d tensors `[..., P]`.

    Sums of products, as in `affine_map`: a graphics card multiplies matrices with 10 bits.
    """
    count, terms = weights.shape
    columns = [coordinate(weights, index, values.dtype) for index in range(terms)]
    turned = tf.linalg.matrix_transpose(values)
    # Two dimensions: TensorFlow broadcasts more of them slowly.
    factors = tf.unstack(tf.reshape(turned, [-1, terms]), axis=1)
    pairs = zip(factors, columns, strict=True)
    total = tf.add_n([factor[:, tf.newaxis] * column for factor, column in pairs])
    known = tf.shape(weights)[:1] if count is None else [count]
    sums = tf.reshape(total, tf.concat([tf.shape(turned)[:-1], known], axis=0))
    sums.set_shape([*turned.shape[:-1], count])
    return list(tf.unstack(sums, axis=-2))


def matrix_product(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Multiplies small matrices `[..., n, m]` and `[..., m, k]`, in their full precision."""
    return tf.reduce_sum(left[..., tf.newaxis] * right[..., tf.newaxis, :, :], axis=-2)


def homogeneous(rows: Sequence[Sequence[tf.Tensor]]) -> tf.Tensor:
    """Stacks affine rows of coefficients `[...]` and appends the row (0, ..., 0, 1)."""
    one = tf.ones_like(rows[0][0])
    zero = tf.zeros_like(one)
    last = [zero] * (len(rows[0]) - 1) + [one]
    return tf.stack([tf.stack(list(row), axis=-1) for row in [*rows, last]], axis=-2)
