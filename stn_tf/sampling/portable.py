"""The sampler in stock TensorFlow operations: any device, XLA, second derivatives.

Every axis contributes its taps by itself: the index that is read, always inside the image, and a
weight, zero where the tap is in the zero padding. A pixel is the sum over all combinations of taps.
"""

import itertools

import numpy as np
import tensorflow as tf

# Coordinates are clipped here, in pixels: far outside any image, and safe to convert to int32.
_FAR = float(2**30)
# Keys 1981, with ONNX's alpha.
_CUBIC_ALPHA = -0.75


def sample(
    images: tf.Tensor, grid: tf.Tensor, kernel: str, padding: str, align_corners: bool
) -> tf.Tensor:
    """Samples checked arguments; `stn_tf.sampling.grid_sample` describes them."""
    rank = images.shape.rank - 2
    shape = tf.shape(images)
    compute = tf.float64 if tf.float64 in (images.dtype, grid.dtype) else tf.float32
    axes = []  # Slowest first (y, x), while the grid holds (x, y).
    for axis in range(rank):
        size = images.shape[axis + 1]
        size = shape[axis + 1] if size is None else size
        points = tf.cast(grid[..., rank - 1 - axis], compute)
        pixels = _to_pixels(points, size, align_corners, grid.dtype.as_numpy_dtype)
        axes.append(_taps(pixels, size, kernel, padding, align_corners))

    # Rows of one image, so that an int32 index is enough for batches of any size.
    # Cast before they are gathered, so that their gradients are summed in float32 too.
    rows = tf.reshape(images, tf.stack([shape[0], tf.reduce_prod(shape[1:-1]), shape[-1]]))
    rows = tf.cast(rows, compute)
    total = tf.constant(0.0, compute)
    for taps in itertools.product(*axes):
        index, weight = taps[0]
        for axis in range(1, rank):
            index = index * shape[axis + 1] + taps[axis][0]
            weight = weight * taps[axis][1]
        values = tf.gather(rows, index, batch_dims=1)
        total += weight[..., tf.newaxis] * values
    output = tf.cast(total, images.dtype)
    output.set_shape([*grid.shape[:-1], images.shape[-1]])
    return output


def _to_pixels(
    points: tf.Tensor, size: int | tf.Tensor, align_corners: bool, grid_dtype: type
) -> tf.Tensor:
    """Normalised coordinates -> pixels, where the centre of the first pixel is 0."""
    extent = tf.cast(size, points.dtype)
    if align_corners:
        pixels = (points + 1.0) * ((extent - 1.0) / 2.0)
    else:
        pixels = ((points + 1.0) * extent - 1.0) / 2.0
    # NaN and infinity read as outside.
    pixels = tf.where(
        tf.math.is_nan(pixels), tf.cast(-_FAR, pixels.dtype), tf.clip_by_value(pixels, -_FAR, _FAR)
    )
    # A point within the rounding error of its own dtype of a pixel's centre is on it: without this
    # the identity is off by up to 1e-5 at 224 pixels, because 1 / 224 has no exact float32.
    centre = tf.round(pixels)
    noise = extent * float(np.finfo(grid_dtype).eps)
    snap = tf.where(tf.abs(centre - pixels) <= noise, centre - pixels, tf.zeros_like(pixels))
    return pixels + tf.stop_gradient(snap)


def _taps(
    pixels: tf.Tensor, size: int | tf.Tensor, kernel: str, padding: str, align_corners: bool
) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """The (index, weight) pairs with which one axis contributes."""
    if kernel == "nearest":
        # The gradient with respect to the point is zero, not absent.
        flat = 1.0 + 0.0 * pixels
        pixels = tf.round(pixels)
    pixels = _into_image(pixels, size, padding, align_corners)
    if kernel == "nearest":
        return [_tap(pixels, flat, size, padding, align_corners)]
    base = tf.floor(pixels)
    t = pixels - tf.stop_gradient(base)
    if kernel == "bilinear":
        offsets_weights = [(0.0, 1.0 - t), (1.0, t)]
    else:
        offsets_weights = [
            (-1.0, _cubic_far(1.0 + t)),
            (0.0, _cubic_near(t)),
            (1.0, _cubic_near(1.0 - t)),
            (2.0, _cubic_far(2.0 - t)),
        ]
    return [
        _tap(base + offset, weight, size, padding, align_corners)
        for offset, weight in offsets_weights
    ]


def _into_image(
    pixels: tf.Tensor, size: int | tf.Tensor, padding: str, align_corners: bool
) -> tf.Tensor:
    """Moves points outside the image into it, for the paddings that do so before the kernel."""
    if padding == "zeros":
        return pixels
    extent = tf.cast(size, pixels.dtype)
    edge = 0.0 if align_corners else 0.5
    low, high = -edge, extent - 1.0 + edge
    outside = (pixels < low) | (pixels > high)
    if padding == "border":
        moved = tf.clip_by_value(pixels, 0.0, extent - 1.0)
    else:
        # A mirror at `low` and one at `high`; with one pixel they coincide if corners are aligned.
        span = tf.maximum(high - low, tf.cast(1e-6, pixels.dtype))
        folded = tf.math.floormod(pixels - low, 2.0 * span)
        moved = low + tf.minimum(folded, 2.0 * span - folded)
    return tf.where(outside, moved, pixels)


def _tap(
    position: tf.Tensor,
    weight: tf.Tensor,
    size: int | tf.Tensor,
    padding: str,
    align_corners: bool,
) -> tuple[tf.Tensor, tf.Tensor]:
    """The pixel to read for a whole `position`, and its weight."""
    index = tf.cast(position, tf.int32)
    last = size - 1
    if padding == "zeros":
        inside = (index >= 0) & (index <= last)
        weight = tf.where(inside, weight, tf.zeros_like(weight))
    elif padding == "reflection":
        # Mirrors on the outer pixels' centres repeat none of them, mirrors on their edges do.
        period = tf.maximum(2 * last, 1) if align_corners else 2 * size
        index = tf.math.floormod(index, period)
        index = tf.minimum(index, period - index if align_corners else period - 1 - index)
    return tf.clip_by_value(index, 0, last), weight


def _cubic_near(distance: tf.Tensor) -> tf.Tensor:
    a = _CUBIC_ALPHA
    return ((a + 2.0) * distance - (a + 3.0)) * distance * distance + 1.0


def _cubic_far(distance: tf.Tensor) -> tf.Tensor:
    a = _CUBIC_ALPHA
    return ((a * distance - 5.0 * a) * distance + 8.0 * a) * distance - 4.0 * a
