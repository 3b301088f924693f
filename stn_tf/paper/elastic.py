"""Distortion E: a thin plate spline bends the image."""

from dataclasses import dataclass

import tensorflow as tf

from stn_tf.data import keys
from stn_tf.geometry import thin_plate_spline_grid
from stn_tf.paper.batch import Batch, Parameters
from stn_tf.paper.canvas import REFERENCE
from stn_tf.sampling import grid_sample

_CONTROL_POINTS = 16  # 4x4 over the canvas.


@dataclass(frozen=True)
class Elastic:
    """Scales an image about its centre, then bends it.

    The spline bends backwards: the moves of the control points say where the canvas reads the
    scaled image. Their distribution is symmetric, so that forwards would look the same.

    Attributes:
        deviation: Of the control points' moves in each direction, in pixels of 28.
        scales: The smallest and largest scale.
    """

    deviation: float
    scales: tuple[float, float]

    def draw(
        self, key: tf.Tensor, count: int, size: tuple[int, int], canvas: tuple[int, int]
    ) -> Parameters:
        """Draws `scale` `[n]` and `offsets` `[n, 16, 2]` of the control points, normalised."""
        scale_key, offset_key = keys.split(key, 2)
        # The canvas is 2 wide in normalised coordinates, whatever its size.
        deviation = 2.0 * self.deviation / REFERENCE
        return {
            "scale": keys.uniform(scale_key, (count,), *self.scales),
            "offsets": keys.normal(offset_key, (count, _CONTROL_POINTS, 2)) * deviation,
        }

    def apply(self, batch: Batch) -> tf.Tensor:
        """Reads each canvas pixel from the image at the bent grid, scaled back."""
        grid = thin_plate_spline_grid(batch.parameters["offsets"], batch.canvas)
        scale = tf.reshape(batch.parameters["scale"], [-1, 1, 1, 1])
        return grid_sample(batch.images, grid / scale)
