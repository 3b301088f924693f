"""Distortion TC: the image somewhere on a larger canvas among pieces of other images."""

from dataclasses import dataclass

import tensorflow as tf

from stn_tf.data import keys
from stn_tf.paper.batch import Batch, Parameters
from stn_tf.paper.canvas import REFERENCE


@dataclass(frozen=True)
class Clutter:
    """Puts an image, unchanged, somewhere on the canvas, with distractors anywhere.

    A distractor is a square cut from a random place of a random other image. Where things overlap
    the brighter one counts.

    Attributes:
        distractors: How many.
        side: Their side in pixels of 28.
    """

    distractors: int
    side: int

    def draw(
        self, key: tf.Tensor, count: int, size: tuple[int, int], canvas: tuple[int, int]
    ) -> Parameters:
        """Draws (row, column) pixels: `place` `[n, 2]` of the image's top-left, and for each
        distractor `donor` `[n, d]` (any integer), `cut` and `paste` `[n, d, 2]`."""
        place, donor, cut, paste = keys.split(key, 4)
        patch = self._patch(size)
        each = (count, self.distractors)

        def corners(key: tf.Tensor, shape: tuple[int, ...], room: list[int]) -> tf.Tensor:
            axis_keys = keys.split(key, 2)
            return tf.stack(
                [keys.integers(k, shape, r + 1) for k, r in zip(axis_keys, room, strict=True)], -1
            )

        return {
            "place": corners(place, (count,), [canvas[i] - size[i] for i in (0, 1)]),
            "donor": keys.integers(donor, each, tf.int32.max),
            "cut": corners(cut, each, [size[i] - patch[i] for i in (0, 1)]),
            "paste": corners(paste, each, [canvas[i] - patch[i] for i in (0, 1)]),
        }

    def apply(self, batch: Batch) -> tf.Tensor:
        """Cuts the distractors from the whole set."""
        images, parameters, canvas, pool = batch.images, batch.parameters, batch.canvas, batch.pool
        size = tuple(images.shape[1:3])
        count, channels = tf.shape(images)[0], images.shape[3]
        patch = self._patch(size)
        others = max(pool.shape[0] - 1, 1)
        donors = tf.cast(parameters["donor"] % others, tf.int64)
        donors = (batch.indices[:, tf.newaxis] + 1 + donors) % pool.shape[0]
        cut = _pixels(donors, parameters["cut"], size, patch)
        patches = tf.gather(tf.reshape(pool, [-1, channels]), tf.reshape(cut, [-1]))

        placed = _place(images, parameters["place"], canvas)
        images_range = tf.range(tf.cast(count, tf.int64))[:, tf.newaxis]
        paste = _pixels(images_range, parameters["paste"], canvas, patch)
        cluttered = tf.tensor_scatter_nd_max(
            tf.reshape(placed, [-1, channels]),
            tf.reshape(paste, [-1, 1]),
            tf.cast(patches, tf.float32) / 255.0,
        )
        return tf.reshape(cluttered, [-1, *canvas, channels])

    def undoing(
        self, parameters: Parameters, size: tuple[int, int], canvas: tuple[int, int]
    ) -> tf.Tensor:
        """Returns the theta `[n, 2, 3]` that looks at the image as it was."""
        place = tf.cast(parameters["place"], tf.float32)
        rows = []
        for axis, row in ((1, [1.0, 0.0]), (0, [0.0, 1.0])):
            middle = (2.0 * place[:, axis] + size[axis]) / canvas[axis] - 1.0
            linear = tf.constant(row) * (size[axis] / canvas[axis])
            flat = tf.broadcast_to(linear, [tf.shape(place)[0], 2])
            rows.append(tf.concat([flat, middle[:, tf.newaxis]], 1))
        return tf.stack(rows, 1)

    def _patch(self, size: tuple[int, int]) -> tuple[int, int]:
        height, width = (max(1, round(self.side * extent / REFERENCE)) for extent in size)
        return height, width


def _pixels(
    numbers: tf.Tensor, corners: tf.Tensor, size: tuple[int, ...], patch: tuple[int, int]
) -> tf.Tensor:
    """Returns the flat indices, int64 `[n, d, h, w]`, of patches of the images of these numbers."""
    corners = tf.cast(corners, tf.int64)
    rows = corners[..., 0, tf.newaxis] + tf.range(patch[0], dtype=tf.int64)
    columns = corners[..., 1, tf.newaxis] + tf.range(patch[1], dtype=tf.int64)
    rows += numbers[..., tf.newaxis] * size[0]
    return rows[..., :, tf.newaxis] * size[1] + columns[..., tf.newaxis, :]


def _place(images: tf.Tensor, corners: tf.Tensor, canvas: tuple[int, int]) -> tf.Tensor:
    """Puts the images' top-left pixels at these (row, column) of a black canvas."""
    placed = tf.pad(images, [[0, 0], [1, 0], [1, 0], [0, 0]])
    for axis in (0, 1):
        extent = images.shape[axis + 1]
        source = tf.range(canvas[axis]) - corners[:, axis, tf.newaxis]
        # Row and column 0 are the black ones that the padding added.
        source = tf.where((source >= 0) & (source < extent), source + 1, 0)
        placed = tf.gather(placed, source, axis=axis + 1, batch_dims=1)
    return placed
