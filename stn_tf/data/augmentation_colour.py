"""What augmented images look like: colours, and rectangles that are erased.

All colour is one map `colour -> A colour + b` of each image.

Keras's layers could be handed drawn numbers, `RandomContrast().transform_images(images, drawn)`,
but make passes over the pixels for each change, and convert them to and fro for saturation and for
hue. For 32 images of 224 x 224 on two cores that takes 100 ms, 230 ms with hue; one map takes 35
(Keras 3.15).
"""

import numpy as np
import tensorflow as tf

from stn_tf.data.augmentation_drawing import Parameters
from stn_tf.geometry.points import matrix_product

# ITU-R BT.601, as in Pillow.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# The image's mean colour is taken from every such pixel of each axis.
_MEAN_STRIDE = 4


@tf.autograph.experimental.do_not_convert
def apply(stored: tf.Tensor, seen: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """Changes colours as drawn, then erases.

    Args:
        stored: The images before they were moved, uint8 `[n, h, w, c]`: where their mean is from.
        seen: float32 `[n, H, W, c]` in 0..255.
        parameters: As drawn.

    Returns:
        float32 `[n, H, W, c]` in 0..1.
    """
    changed = _coloured(stored, seen, parameters)
    return _erased(changed, parameters["erase"]) if "erase" in parameters else changed


def _coloured(stored: tf.Tensor, seen: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    if not {"brightness", "contrast", "saturation", "hue"} & parameters.keys():
        return seen / 255.0
    count, channels = tf.shape(seen)[0], seen.shape[-1]
    one, zero = tf.ones([count]), tf.zeros([count])
    brightness, contrast = (
        parameters.get(name, still)[:, tf.newaxis]
        for name, still in (("brightness", zero), ("contrast", one))
    )
    # Contrast is about the mean, so that it and the rest add up to one map.
    about = (1.0 - contrast) * _mean(stored)
    if channels != 3 or not {"saturation", "hue"} & parameters.keys():
        factor, shift = contrast / 255.0, about + brightness
        changed = seen * factor[:, tf.newaxis, tf.newaxis] + shift[:, tf.newaxis, tf.newaxis]
    else:
        turn = parameters.get("hue", tf.stack([one, zero], axis=1))
        matrix = _chroma(parameters.get("saturation", one), turn)
        shift = matrix_product(about[:, tf.newaxis], matrix)[:, 0] + brightness
        changed = _mapped(seen, matrix * (contrast[:, tf.newaxis] / 255.0), shift)
    return tf.clip_by_value(changed, 0.0, 1.0)


def _mean(stored: tf.Tensor) -> tf.Tensor:
    """The mean colour of each image, `[n, c]` in 0..1: a sum of integers, alike in any batch."""
    some = tf.cast(stored[:, ::_MEAN_STRIDE, ::_MEAN_STRIDE], tf.int32)
    most = 255 * tf.reduce_prod(tf.shape(some)[1:3])
    return tf.cast(tf.reduce_sum(some, axis=[1, 2]) / most, tf.float32)


def _chroma(saturation: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Returns matrices `[n, 3, 3]`, from row to column, that keep luma and turn what is left.

    Hue turns in the plane of I and Q, which needs no conversion of colours and is linear.
    """
    luma = np.repeat(_LUMA[:, np.newaxis], 3, axis=1)
    chroma = np.eye(3, dtype=np.float32) - luma
    cosine, sine = tf.unstack(
        (saturation[:, tf.newaxis] * turn)[..., tf.newaxis, tf.newaxis], axis=1
    )
    return luma + cosine * chroma + sine * _quarter_turn()


def _quarter_turn() -> np.ndarray:
    """Of chroma, `[3, 3]` from row to column."""
    to_yiq = np.array(
        [[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]]
    )
    turn = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    return (np.linalg.inv(to_yiq) @ turn @ to_yiq).T.astype(np.float32)


def _mapped(images: tf.Tensor, matrix: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    # Sums of products of planes: as fast as a matrix product, and in one order for any batch.
    planes = tf.unstack(images, axis=-1)
    factors = matrix[:, :, :, tf.newaxis, tf.newaxis]
    mapped = [
        tf.add_n([plane * factors[:, i, j] for i, plane in enumerate(planes)])
        + shift[:, j, tf.newaxis, tf.newaxis]
        for j in range(len(planes))
    ]
    return tf.stack(mapped, axis=-1)


def _erased(images: tf.Tensor, erase: tf.Tensor) -> tf.Tensor:
    height, width = images.shape[1:3]
    left, top, right, bottom, level = tf.unstack(erase[:, tf.newaxis], axis=2)
    columns = (np.arange(width, dtype=np.float32) + 0.5) / width
    rows = (np.arange(height, dtype=np.float32) + 0.5) / height
    across = (columns >= left) & (columns < right)
    down = (rows >= top) & (rows < bottom)
    inside = down[:, :, tf.newaxis, tf.newaxis] & across[:, tf.newaxis, :, tf.newaxis]
    return tf.where(inside, level[:, :, tf.newaxis, tf.newaxis], images)
