"""What an output pixel covers of the input, and samples spread over it.

Where a transform shrinks, an output pixel covers several of the input, and one sample of them is
chance: patterns alias, and gradients see no farther than its taps. K samples along each axis,
averaged, stand for all of it. Those of a pixel that reads at p are at

    p + sum_a o_a f_a J_a,    f_a = sqrt(max(0, 1 - 1 / s_a^2)),

where J_a is how p changes over the pixel along output axis a, s_a the length of J_a in input
pixels, and o_a the centres of K equal parts of [-1/2, 1/2]. A pixel of the input is a box itself,
of variance 1/12; f_a s_a is the width of another that adds what it lacks to the s_a^2/12 of the
footprint. So where a footprint is no more than a pixel, every sample is at p.

Source: footprints, and variances that add up, are those of resampling filters: Heckbert 1989,
chapter 3, https://www2.eecs.berkeley.edu/Pubs/TechRpts/1989/5504.html. Boxes of samples are ours.
"""

import itertools
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from stn_tf.geometry.points import base_points
from stn_tf.geometry.transform import MatrixTransform, Transform

Size: TypeAlias = Sequence[int] | tf.Tensor
# Footprints are differences of points. One that is larger than a pixel by no more than a few of
# their rounding errors is a pixel, so that the identity of every transform is exact.
_NOISE = 16.0


def grids(
    family: Transform,
    theta: tf.Tensor,
    size: Size,
    input_size: Size,
    align_corners: bool,
    samples: int,
) -> list[tf.Tensor]:
    """Returns a grid `[..., *size, d]` for each sample of a pixel; arguments as of `shifts`."""
    grid = family.grid(theta, size, align_corners=align_corners)
    if samples == 1:
        return [grid]
    return [grid + s for s in shifts(family, theta, size, input_size, align_corners, samples)]


def shifts(
    family: Transform,
    theta: tf.Tensor,
    size: Size,
    input_size: Size,
    align_corners: bool,
    samples: int,
) -> list[tf.Tensor]:
    """Returns how far each sample of a pixel is from the pixel's point.

    Args:
        family: The transform.
        theta: `[..., *theta]`, as `family.check` returns it.
        size: Of the output in pixels, slowest axis first; a tensor where it is not known yet.
        input_size: Of the images, likewise.
        align_corners: Whether -1 and 1 are centres of pixels.
        samples: K, along each axis.

    Returns:
        K ** d tensors `[..., *size, d]`, normalised, x first; of an affine family
        `[..., 1, ..., 1, d]`, for its footprint is the same everywhere.
    """
    half = (tf.cast(_x_first(input_size), theta.dtype) - float(align_corners)) / 2.0
    noise = _NOISE * float(np.finfo(theta.dtype.as_numpy_dtype).eps) * tf.reduce_max(half)
    places = (np.arange(samples) + 0.5) / samples - 0.5
    along = []
    for change in _changes(family, theta, size, align_corners):
        square = tf.reduce_sum(tf.square(change * half), axis=-1, keepdims=True)
        fraction = tf.sqrt(tf.maximum(1.0 - (1.0 + noise) / square, 0.0))
        # No gradient goes through f. Its slope has no bound where a footprint grows beyond a
        # pixel, as it may at the identity, where training starts; and it tells how much is blurred,
        # not where to look. Left are points at fixed places of the output, each with the gradient
        # that the paper gives it.
        spread = change * tf.stop_gradient(fraction)
        along.append([float(place) * spread for place in places])
    return [tf.add_n(list(parts)) for parts in itertools.product(*along)]


def average(samples: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the mean, which of equal samples is just what they are."""
    first, *others = samples
    wide = tf.float32 if first.dtype.size < 4 else first.dtype
    base = tf.cast(first, wide)
    more = tf.add_n([tf.cast(sample, wide) - base for sample in others])
    return tf.cast(base + more / len(samples), first.dtype)


def _changes(
    family: Transform, theta: tf.Tensor, size: Size, align_corners: bool
) -> list[tf.Tensor]:
    """How the sampling point changes over a pixel along each axis of the output."""
    rank, steps = family.dimensions, _steps(size, align_corners)
    if isinstance(family, MatrixTransform) and family.affine:
        columns = tf.unstack(family.matrix(theta)[..., :rank, :rank], axis=-1)[::-1]
        everywhere: Any = (..., *[tf.newaxis] * rank, slice(None))
        return [
            column[everywhere] * tf.cast(steps[axis], theta.dtype)
            for axis, column in enumerate(columns)
        ]
    # From the corners of all pixels, which are one more along each axis.
    count = tf.add(size, 1) if tf.is_tensor(size) else tuple(length + 1 for length in size)
    reach = _x_first(steps * _float64(size) / 2.0)
    corners = family.map_points(theta, base_points(count, align_corners=True) * reach)
    lattice = tf.reshape(corners, tf.concat([tf.shape(corners)[:-2], count, [rank]], axis=0))
    changes = []
    for along in range(rank):
        change = lattice
        for axis in range(rank):
            before, after = _neighbours(change, rank - axis)
            change = after - before if axis == along else (before + after) / 2.0
        changes.append(change)
    return changes


def _neighbours(lattice: tf.Tensor, axis: int) -> tuple[tf.Tensor, tf.Tensor]:
    """All but the last, and all but the first, along the axis that so many others follow."""
    rest = [slice(None)] * axis
    return lattice[(..., slice(None, -1), *rest)], lattice[(..., slice(1, None), *rest)]


def _x_first(sizes: Any) -> Any:
    # Strides below zero stop TensorFlow's layout optimiser (2.21).
    return tf.stack(tf.unstack(sizes)[::-1]) if tf.is_tensor(sizes) else sizes[::-1]


def _steps(size: Size, align_corners: bool) -> Any:
    """How far output pixels are from each other, normalised, slowest axis first: `[d]`, float64.

    Zero where corners are aligned and there is one: nothing tells what it stands for.
    """
    count = _float64(size)
    if not align_corners:
        return 2.0 / count
    if tf.is_tensor(count):
        return tf.math.divide_no_nan(tf.constant(2.0, tf.float64), count - 1.0)
    return np.where(count > 1.0, 2.0 / np.maximum(count - 1.0, 1.0), 0.0)


def _float64(size: Size) -> Any:
    return tf.cast(size, tf.float64) if tf.is_tensor(size) else np.asarray(size, np.float64)
