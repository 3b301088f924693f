"""What a distortion works on."""

from dataclasses import dataclass

import tensorflow as tf

Parameters = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Batch:
    """Some images of a set, with what was drawn for them.

    Attributes:
        images: float32 `[n, h, w, C]` in 0..1.
        parameters: Tensors by name, each `[n, ...]`, as the distortion's `draw` describes them.
        canvas: Height and width in pixels of what the images become.
        pool: The whole set, uint8 `[N, h, w, C]`.
        indices: Which of the set the images are, int64 `[n]`.
    """

    images: tf.Tensor
    parameters: Parameters
    canvas: tuple[int, int]
    pool: tf.Tensor
    indices: tf.Tensor
