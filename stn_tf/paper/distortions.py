"""The distorted MNIST sets of the paper, for images of any size and number of channels.

    none   the image as it is
    r      rotation by up to 90 degrees to either side
    rts    rotation by up to 45 degrees, scale 0.7 to 1.2, anywhere in 42x42
    p      scale 0.75 to 1, each corner stretched by N(0, 5 pixels)
    e      scale 0.75 to 1, 4x4 spline control points moved by N(0, 1.5 pixels)
    tc     anywhere in 60x60, with 6 distractors of 6x6

Amounts in pixels are for images of 28x28 and grow with them. All keep the label.

Source: Jaderberg et al. 2015, appendix A.4, https://arxiv.org/abs/1506.02025.
"""

from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from stn_tf.paper.batch import Batch, Parameters
from stn_tf.paper.canvas import canvas_size
from stn_tf.paper.clutter import Clutter
from stn_tf.paper.elastic import Elastic
from stn_tf.paper.perspective import Perspective
from stn_tf.paper.rotation import Rotation
from stn_tf.paper.source import Examples


class Distortion(Protocol):
    """How a batch is distorted: what is random about it, and what that makes of images."""

    def draw(
        self, key: tf.Tensor, count: int, size: tuple[int, int], canvas: tuple[int, int]
    ) -> Parameters: ...

    def apply(self, batch: Batch) -> tf.Tensor: ...


# Those that an affine theta undoes.
UNDONE: dict[str, Rotation | Clutter] = {
    "r": Rotation(degrees=90.0),
    "rts": Rotation(degrees=45.0, scales=(0.7, 1.2)),
    "tc": Clutter(distractors=6, side=6),
}
_DISTORTIONS: dict[str, Distortion] = {
    **UNDONE,
    "p": Perspective(deviation=5.0, scales=(0.75, 1.0)),
    "e": Elastic(deviation=1.5, scales=(0.75, 1.0)),
}


def draw(distortion: str, key: tf.Tensor, count: int, size: tuple[int, int]) -> Parameters:
    """Draws the random parameters of `count` images of `size`, the same ones for the same key.

    Args:
        distortion: One of `stn_tf.paper.DISTORTIONS`.
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
        distortion: One of `stn_tf.paper.DISTORTIONS`.
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


def undoing(distortion: str, parameters: Parameters, size: tuple[int, int]) -> tf.Tensor:
    """Returns the theta that looks at the images as they were before an affine distortion.

    Args:
        distortion: One of `UNDONE`.
        parameters: As `draw` gave them.
        size: The images' height and width in pixels.

    Returns:
        float32 `[n, 2, 3]`, output to input, normalised (x, y) in -1..1 from edge to edge.
    """
    return UNDONE[distortion].undoing(parameters, size, canvas_size(distortion, size))


class DistortedImages:
    """Single images of a source, distorted, with their labels: scenes as `pipeline` shows them.

    The examples stay in memory once, as tensors that datasets refer to; they are no constants of
    a graph.

    Args:
        examples: What to show.
        distortion: One of `stn_tf.paper.DISTORTIONS`.
        with_theta: Whether y is `{"logits": labels, "theta": undoing(...)}`.
    """

    def __init__(self, examples: Examples, distortion: str, *, with_theta: bool = False):
        self._distortion = distortion
        self._with_theta = with_theta
        self._size = (int(examples.images.shape[1]), int(examples.images.shape[2]))
        self._count = len(examples)
        self.images, self.labels = in_memory(examples.images), in_memory(examples.labels)

    def __len__(self) -> int:
        return self._count

    def draw(self, key: tf.Tensor, count: int) -> Parameters:
        """Returns what `draw` does."""
        return draw(self._distortion, key, count, self._size)

    def make(self, parameters: Parameters, indices: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """Returns images float32 `[n, H, W, C]` in 0..1, and labels int32 `[n]`."""
        images = distort(self._distortion, parameters, self.images, indices)
        labels = tf.gather(self.labels, indices)
        if not self._with_theta:
            return images, labels
        theta = undoing(self._distortion, parameters, self._size)
        return images, {"logits": labels, "theta": theta}


def in_memory(values: np.ndarray) -> tf.Tensor:
    """Returns a tensor on the host, also where there is a GPU, and out of all graphs."""
    # Eager tensors that a dataset's function captures are inputs of it, not constants in it.
    with tf.init_scope(), tf.device("CPU:0"):
        return tf.constant(values)
