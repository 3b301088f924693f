"""What of an augmentation is not affine: a view from another place, and a rubber sheet.

Convention: as in `augmentation_geometry`.
"""

import math

import numpy as np
import tensorflow as tf

from stn_tf.geometry import get_transform
from stn_tf.geometry.points import base_points

# A spline is smooth: it is computed for every such pixel of both axes, and linear between them. At
# 224 pixels and moves of 7 that is within 0.05 pixels inside, 0.3 at the edge, and takes a ninth of
# the time.
_SPLINE_STRIDE = 4
# Top left, top right, bottom right, bottom left.
_CORNERS = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], np.float32)


def bent_points(moves: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Returns the output's points, `[n, *size, 2]`, as moved control points pull them.

    Args:
        moves: Of k * k control points over the output, `[n, k * k, 2]`.
        size: Of the output in pixels.
    """
    control_points = math.isqrt(moves.shape[1])
    spline = get_transform("tps", control_points=control_points)
    coarse = tuple(-(-side // _SPLINE_STRIDE) for side in size)
    pulled = spline.grid(moves, coarse) - _points(coarse)
    return _points(size) + tf.image.resize(pulled, size)


def _points(size: tuple[int, ...]) -> np.ndarray:
    return base_points(size).reshape(1, *size, 2).astype(np.float32)


def perspective(theta: tf.Tensor, moves: tf.Tensor) -> tf.Tensor:
    """Composes an affine map `[n, 2, 3]`, done second, with moves of the view's corners.

    Args:
        theta: The affine map.
        moves: `[n, 4, 2]`: top left, top right, bottom right, bottom left; below half of the
            view's sides, so that its corners stay in order.

    Returns:
        Theta of `projective`, `[n, 8]`.
    """
    first = _square_to(_CORNERS + moves)
    row = tf.constant([[0.0, 0.0, 1.0]])
    second = tf.unstack(theta, axis=1)
    second.append(tf.tile(row, [tf.shape(theta)[0], 1]))
    # Sums of products, as everywhere in the geometry.
    entries = [
        sum(left[:, k] * first[k][column] for k in range(3))
        for left in second
        for column in range(3)
    ]
    return tf.stack([entry / entries[8] for entry in entries[:8]], axis=1)


def _square_to(corners: tf.Tensor) -> list[list[tf.Tensor]]:
    """Returns the rows of the homographies that map the view, -1 to 1, to corners `[n, 4, 2]`.

    Source: Heckbert 1989, Fundamentals of texture mapping and image warping, section 2.2.3, for
    the square of 0 to 1.
    """
    (x0, x1, x2, x3), (y0, y1, y2, y3) = (
        tf.unstack(corners[..., axis], axis=1) for axis in range(2)
    )
    dx1, dx2, dx3 = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, dy3 = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    area = dx1 * dy2 - dx2 * dy1
    g = (dx3 * dy2 - dx2 * dy3) / area
    h = (dx1 * dy3 - dx3 * dy1) / area
    rows = [
        [x1 - x0 + g * x1, x3 - x0 + h * x3, x0],
        [y1 - y0 + g * y1, y3 - y0 + h * y3, y0],
        [g, h, tf.ones_like(g)],
    ]
    # Of (x + 1) / 2 and (y + 1) / 2.
    return [[a / 2.0, b / 2.0, c + (a + b) / 2.0] for a, b, c in rows]


def through(theta: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Maps points `[n, h, w, 2]` by theta: affine `[n, 2, 3]`, or projective `[n, 8]`."""
    x, y = tf.unstack(points, axis=-1)
    flat = tf.reshape(theta, [tf.shape(theta)[0], theta.shape[1:].num_elements()])
    factors = [factor[:, tf.newaxis, tf.newaxis] for factor in tf.unstack(flat, axis=1)]
    mapped = [factors[row] * x + factors[row + 1] * y + factors[row + 2] for row in (0, 3)]
    if len(factors) == 8:
        depth = factors[6] * x + factors[7] * y + 1.0
        mapped = [values / depth for values in mapped]
    return tf.stack(mapped, axis=-1)
