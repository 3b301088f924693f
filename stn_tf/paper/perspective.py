"""Distortion P: each corner of the image is stretched by an amount of its own.

The paper speaks of an amount a corner; here, corners then move along the diagonals. Moves in x and
y that know nothing of each other make a set that is hardly the paper's. After 512,000 images
(8,000 batches, no decay of weights) the FCN errs on 12.7 percent of it and on 2.3 percent of this
one; the paper's FCN, after 38 million, on 3.1. On R, which leaves nothing to read, it errs on 3.0
percent after 384,000 images, and the paper's on 2.1.
"""

from dataclasses import dataclass

import tensorflow as tf

from stn_tf.data import keys
from stn_tf.paper.batch import Batch, Parameters
from stn_tf.paper.canvas import REFERENCE
from stn_tf.paper.projection import project

# The corners of the unit square as (x, y), in the order in which they are walked around.
_UNIT_SQUARE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
# Moves of 5 in 28 pixels sometimes fold the image over itself, or squeeze one corner of it to
# nothing. Then the next of these many draws counts, and after them the corners stay.
_CANDIDATES = 6
_SMALLEST_CORNER = 0.2  # Of the area of the triangle at each corner.
# Parts of an image often shrink to less than half, where thin strokes would break into dots. So the
# canvas is sampled this many times as finely in each direction, then averaged.
_FINER = 2


@dataclass(frozen=True)
class Perspective:
    """Scales an image about its centre, then moves its corners and all between them.

    Attributes:
        deviation: Of the amounts by which corners move outwards, in x and y alike, in pixels of 28.
        scales: The smallest and largest scale.
    """

    deviation: float
    scales: tuple[float, float]

    def draw(
        self, key: tf.Tensor, count: int, size: tuple[int, int], canvas: tuple[int, int]
    ) -> Parameters:
        """Draws `corners` `[n, 4, 2]`: where in the canvas the image's corners come to lie.

        Convention: (x, y) in pixels, pixel (0, 0)'s centre is (0.0, 0.0); order top-left,
        top-right, bottom-right, bottom-left.
        """
        scale_key, move_key = keys.split(key, 2)
        extent = tf.constant([size[1], size[0]], tf.float32)
        middle = (tf.constant([canvas[1], canvas[0]], tf.float32) - 1.0) / 2.0
        scale = keys.uniform(scale_key, (count, 1, 1, 1), *self.scales)
        outwards = tf.constant(_UNIT_SQUARE) - 0.5
        corners = middle + scale * extent * outwards
        amounts = keys.normal(move_key, (count, _CANDIDATES, 4, 1)) * self.deviation / REFERENCE
        moved = corners + amounts * 2.0 * outwards * extent
        candidates = tf.concat([moved, corners], axis=1)

        areas = _corner_areas(candidates) / _corner_areas(corners)
        usable = tf.reduce_all(areas >= _SMALLEST_CORNER, axis=-1)
        first = tf.argmax(tf.cast(usable, tf.int32) * tf.range(_CANDIDATES + 1, 0, -1), axis=1)
        return {"corners": tf.gather(candidates, first, batch_dims=1)}

    def apply(self, batch: Batch) -> tf.Tensor:
        """Reads each canvas pixel from the image by the homography back from the corners."""
        height, width = batch.images.shape[1:3]
        back = tf.linalg.inv(_square_to_quadrilateral(batch.parameters["corners"]))
        to_pixels = tf.constant([[width, 0.0, -0.5], [0.0, height, -0.5], [0.0, 0.0, 1.0]])
        shift = (1 / _FINER - 1) / 2
        finer = tf.constant([[1 / _FINER, 0.0, shift], [0.0, 1 / _FINER, shift], [0.0, 0.0, 1.0]])
        matrix = tf.reshape(to_pixels @ back @ finer, [-1, 9])
        fine_canvas = (batch.canvas[0] * _FINER, batch.canvas[1] * _FINER)
        fine = project(batch.images, matrix[:, :8] / matrix[:, 8:], fine_canvas)
        return tf.nn.avg_pool2d(fine, _FINER, _FINER, "VALID")


def _corner_areas(corners: tf.Tensor) -> tf.Tensor:
    """Twice the signed area of the triangle at each corner; all positive if convex."""
    onward = tf.roll(corners, -1, axis=-2) - corners
    back = tf.roll(corners, 1, axis=-2) - corners
    return onward[..., 0] * back[..., 1] - onward[..., 1] * back[..., 0]


def _square_to_quadrilateral(corners: tf.Tensor) -> tf.Tensor:
    """Returns the homographies `[n, 3, 3]` of the unit square to corners `[n, 4, 2]`.

    Source: Heckbert 1989, Fundamentals of texture mapping and image warping, section 2.2.3.
    """
    q0, q1, q2, q3 = (tf.unstack(corner, axis=-1) for corner in tf.unstack(corners, axis=1))
    (ax, ay), (bx, by) = ((q1[i] - q2[i] for i in (0, 1)), (q3[i] - q2[i] for i in (0, 1)))
    sx, sy = (q0[i] - q1[i] + q2[i] - q3[i] for i in (0, 1))
    determinant = ax * by - bx * ay
    g = (sx * by - bx * sy) / determinant
    h = (ax * sy - sx * ay) / determinant
    rows = [[q1[i] - q0[i] + g * q1[i], q3[i] - q0[i] + h * q3[i], q0[i]] for i in (0, 1)]
    return tf.stack([tf.stack(row, -1) for row in [*rows, [g, h, tf.ones_like(g)]]], axis=1)
