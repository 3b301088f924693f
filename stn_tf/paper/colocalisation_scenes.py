"""What the paper's co-localisation shows (appendix A.2): to the transformer, and to the encoder."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from stn_tf.data import keys
from stn_tf.paper.batch import Batch, Parameters
from stn_tf.paper.clutter import Clutter
from stn_tf.paper.digits_recipe import EVALUATION_SEED
from stn_tf.paper.distortions import in_memory
from stn_tf.paper.source import Examples
from stn_tf.sampling import warp

# Samples a pixel of a crop along each axis.
SAMPLES = 3
# Pixels of the side of a distractor.
_PATCH = 6
# What the seed of the places is used for.
_PLACES = 2


class HiddenDigits:
    """Each digit at a place of its own in a larger image, the same one every time.

    The labels are what the loss and the metric of appendix A.2 compare with: `crops`
    `[n, h, w, c]`, cut from a random place of the same image, and `theta` `[n, 3]`, the attention
    `(scale, x, y)` whose window is the digit's own image.

    Args:
        examples: Grey square digits.
        side: Of the images, in pixels.
        distractors: How many pieces of 6x6 pixels of other digits lie about.
    """

    def __init__(self, examples: Examples, *, side: int, distractors: int):
        self._size = (int(examples.images.shape[1]), int(examples.images.shape[2]))
        self._room = (side - self._size[0], side - self._size[1])
        count, canvas = len(examples), (side, side)
        clutter = Clutter(distractors, _PATCH)
        parameters = clutter.draw(
            keys.make_key(EVALUATION_SEED, _PLACES), count, self._size, canvas
        )
        pool, indices = in_memory(examples.images), tf.range(count, dtype=tf.int64)
        digits = tf.cast(pool, tf.float32) / 255.0
        hidden = clutter.apply(Batch(digits, parameters, canvas, pool, indices))
        boxes = clutter.undoing(parameters, self._size, canvas).numpy()
        self.images = in_memory(hidden.numpy())
        self.boxes = in_memory(boxes[:, (0, 0, 1), (0, 2, 2)])

    def __len__(self) -> int:
        return int(self.images.shape[0])

    def draw(self, key: tf.Tensor, count: int) -> Parameters:
        """Draws `corner` `[n, 2]`: (row, column) pixels of the top-left of the random crops."""
        axis_keys = keys.split(key, 2)
        corners = [
            keys.integers(axis_key, (count,), room + 1)
            for axis_key, room in zip(axis_keys, self._room, strict=True)
        ]
        return {"corner": tf.stack(corners, -1)}

    def make(self, parameters: Parameters, indices: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """Returns images float32 `[n, side, side, c]` in 0..1, and the labels."""
        images = tf.gather(self.images, indices)
        return images, {
            "crops": _cut(images, parameters["corner"], self._size),
            "theta": tf.gather(self.boxes, indices),
        }


def _cut(images: tf.Tensor, corners: tf.Tensor, size: Sequence[int]) -> tf.Tensor:
    """Returns `[n, *size, c]` whose top-left pixels are those at (row, column)."""
    crops = images
    for axis, extent in enumerate(size):
        places = corners[:, axis, tf.newaxis] + tf.range(extent)
        crops = tf.gather(crops, places, axis=axis + 1, batch_dims=1)
    return crops


class Windows:
    """Digits somewhere in larger images, as windows of different sizes show them, with labels.

    Args:
        examples: Grey square digits.
        side: Of the larger images, in pixels.
        distractors: How many pieces of other digits lie about.
        scales: Between which the scale of the window is, as a share of the image.
    """

    def __init__(
        self, examples: Examples, *, side: int, distractors: int, scales: tuple[float, float]
    ):
        self._digits, self._labels = in_memory(examples.images), in_memory(examples.labels)
        self._size = (int(examples.images.shape[1]), int(examples.images.shape[2]))
        self._canvas = (side, side)
        self._clutter = Clutter(distractors, _PATCH)
        self._scales = scales

    def __len__(self) -> int:
        return int(self._labels.shape[0])

    def draw(self, key: tf.Tensor, count: int) -> Parameters:
        """Draws what `Clutter` does, and `scale` `[n, 1]` and `shift` `[n, 2]` of the window:
        shifted by as much as keeps most of the digit within, in sides of the digit."""
        clutter_key, scale_key, shift_key = keys.split(key, 3)
        least, largest = (tf.math.log(scale) for scale in self._scales)
        scale = tf.exp(keys.uniform(scale_key, (count, 1), least, largest))
        share = self._size[0] / self._canvas[0]
        shift = keys.uniform(shift_key, (count, 2), -1.0, 1.0)
        return {
            **self._clutter.draw(clutter_key, count, self._size, self._canvas),
            "scale": scale,
            "shift": shift * (tf.abs(scale - share) + 0.1 * share),
        }

    def make(self, parameters: Parameters, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns images float32 `[n, h, w, c]` in 0..1, and labels int32 `[n]`."""
        digits = tf.cast(tf.gather(self._digits, indices), tf.float32) / 255.0
        batch = Batch(digits, parameters, self._canvas, self._digits, indices)
        images = self._clutter.apply(batch)
        middles = self._clutter.undoing(parameters, self._size, self._canvas)[:, :, 2]
        theta = tf.concat([parameters["scale"], middles + parameters["shift"]], 1)
        fine = tuple(SAMPLES * extent for extent in self._size)
        crops = tf.nn.avg_pool2d(
            warp(images, theta, fine, transform="attention"), SAMPLES, SAMPLES, "VALID"
        )
        return crops, tf.gather(self._labels, indices)
