"""The distorted MNIST sets of the paper, for images of any size and number of channels.

    none   the image as it is
    r      rotation by up to 90 degrees to either side
    rts    rotation by up to 45 degrees, scale 0.7 to 1.2, anywhere in 42x42
    p      scale 0.75 to 1, corners moved by N(0, 5 pixels)
    e      scale 0.75 to 1, 4x4 spline control points moved by N(0, 1.5 pixels)
    tc     anywhere in 60x60, with 6 distractors of 6x6

Amounts in pixels are for images of 28x28 and grow with them. All keep the label.

Source: Jaderberg et al. 2015, appendix A.4, https://arxiv.org/abs/1506.02025.
"""

from typing import Protocol

import tensorflow as tf

from stn_tf.paper.batch import Batch, Parameters
from stn_tf.paper.canvas import canvas_size
from stn_tf.paper.clutter import Clutter
from stn_tf.paper.elastic import Elastic
from stn_tf.paper.perspective import Perspective
from stn_tf.paper.rotation import Rotation


class Distortion(Protocol):
    """How a batch is distorted: what is random about it, and what that makes of images."""

    def draw(
        self, key: tf.Tensor, count: int, size: tuple[int, int], canvas: tuple[int, int]
    ) -> Parameters: ...

    def apply(self, batch: Batch) -> tf.Tensor: ...


_DISTORTIONS: dict[str, Distortion] = {
    "r": Rotation(degrees=90.0),
    "rts": Rotation(degrees=45.0, scales=(0.7, 1.2)),
    "p": Perspective(deviation=5.0, scales=(0.75, 1.0)),
    "e": Elastic(deviation=1.5, scales=(0.75, 1.0)),
    "tc": Clutter(distractors=6, side=6),
}


def draw(distortion: str, key: tf.Tensor, count: int, size: tuple[int, int]) -> Parameters:
    """Draws the random parameters of `count` images of `size`, the same ones for the same key.

    Args:
        distortion: One of `stn_tf.data.DISTORTIONS`.
        key: int `[2]`.
        count: How many images.
        size: Their height and width in pixels.

    Returns:
        Tensors by name, each `[count, ...]`; the classes' `draw` describe them. None for `none`.
    """
    canvas = canvas_size(distortion, size)
    return {} if distortion == "none" else _DISTORTIONS[distortion].draw(key, count, size, canvas)


def distort(
    distortion: str, parameters: Parameters, pool: tf.Tensor, indices: tf.Tensor
) -> tf.Tensor:
    """Distorts some of the images of a set.

    Args:
        distortion: One of `stn_tf.data.DISTORTIONS`.
        parameters: As `draw` gave them, one for each index.
        pool: The whole set, uint8 `[N, h, w, C]`; distractors come from all of it.
        indices: Which images to distort, int64 `[n]`.

    Returns:
        float32 `[n, H, W, C]` in 0..1, where (H, W) is the distortion's `canvas_size`.
    """
    canvas = canvas_size(distortion, tuple(pool.shape[1:3]))
    images = tf.cast(tf.gather(pool, indices), tf.float32) / 255.0
    if distortion == "none":
        return images
    distorted = _DISTORTIONS[distortion].apply(Batch(images, parameters, canvas, pool, indices))
    distorted.set_shape([*indices.shape, *canvas, pool.shape[3]])
    return distorted
