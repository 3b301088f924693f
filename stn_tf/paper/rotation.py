"""Distortions R and RTS: rotation, scale and a random place on the canvas."""

import math
from dataclasses import dataclass

import tensorflow as tf

from stn_tf.data import keys
from stn_tf.paper.batch import Batch, Parameters
from stn_tf.paper.projection import project


@dataclass(frozen=True)
class Rotation:
    """Turns an image about its centre, scales it and puts it somewhere on the canvas.

    The paper does not say how the place is drawn. Here the scaled image, before it is turned, lies
    anywhere within the canvas, so that the digit, which fills the middle 20 of 28 pixels, is never
    cut off. On a canvas of the image's own size and without scaling it stays in the middle.

    Attributes:
        degrees: The largest angle to either side.
        scales: The smallest and largest scale.
    """

    degrees: float
    scales: tuple[float, float] = (1.0, 1.0)

    def draw(
        self, key: tf.Tensor, count: int, size: tuple[int, int], canvas: tuple[int, int]
    ) -> Parameters:
        """Draws `angle` `[n]` (radians, counter-clockwise), `scale` `[n]` and `shift` `[n, 2]`, the
        way from the canvas's centre to the image's in pixels (x, y)."""
        angle_key, scale_key, shift_key = keys.split(key, 3)
        largest = math.radians(self.degrees)
        scale = keys.uniform(scale_key, (count,), *self.scales)
        room = [tf.maximum(0.0, (canvas[axis] - scale * size[axis]) / 2.0) for axis in (1, 0)]
        return {
            "angle": keys.uniform(angle_key, (count,), -largest, largest),
            "scale": scale,
            "shift": keys.uniform(shift_key, (count, 2), -1.0, 1.0) * tf.stack(room, -1),
        }

    def weakened(self, parameters: Parameters, strength: tf.Tensor) -> Parameters:
        """Returns parameters of so much of the distortion, from 0 for none to 1 for all of it."""
        return {
            "angle": parameters["angle"] * strength,
            "scale": 1.0 + (parameters["scale"] - 1.0) * strength,
            "shift": parameters["shift"] * strength,
        }

    def apply(self, batch: Batch) -> tf.Tensor:
        """Reads each canvas pixel from the image, turned and scaled back."""
        height, width = batch.images.shape[1:3]
        angle, scale, shift = (batch.parameters[name] for name in ("angle", "scale", "shift"))
        cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
        x = (batch.canvas[1] - 1) / 2 + shift[:, 0]
        y = (batch.canvas[0] - 1) / 2 + shift[:, 1]
        x_row = [cosine, -sine, (width - 1) / 2 - cosine * x + sine * y]
        y_row = [sine, cosine, (height - 1) / 2 - sine * x - cosine * y]
        flat = [tf.zeros_like(cosine), tf.zeros_like(cosine)]
        return project(batch.images, tf.stack([*x_row, *y_row, *flat], -1), batch.canvas)

    def undoing(
        self, parameters: Parameters, size: tuple[int, int], canvas: tuple[int, int]
    ) -> tf.Tensor:
        """Returns the theta `[n, 2, 3]` that looks at the image as it was."""
        angle, scale, shift = (parameters[name] for name in ("angle", "scale", "shift"))
        cosine, sine = scale * tf.cos(angle), scale * tf.sin(angle)
        (height, width), (rows, columns) = size, canvas
        # Pixels of the image -> pixels of the canvas, both from their centres; then halves of each.
        x_row = [cosine * width / columns, sine * height / columns, 2.0 * shift[:, 0] / columns]
        y_row = [-sine * width / rows, cosine * height / rows, 2.0 * shift[:, 1] / rows]
        return tf.stack([tf.stack(x_row, -1), tf.stack(y_row, -1)], 1)
