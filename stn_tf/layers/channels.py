"""Where the channels of images stand. The samplers take them last."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from stn_tf import shape

FIRST, LAST = "channels_first", "channels_last"


def check_data_format(data_format: str | None) -> str:
    """Returns the format that was given, or Keras's own, or raises ValueError."""
    if data_format is None:
        data_format = keras.config.image_data_format()
    return shape.check_choice("data_format", data_format, (FIRST, LAST))


def to_last(images: tf.Tensor, data_format: str) -> tf.Tensor:
    """Returns images `[N, C, ...]` as `[N, ..., C]`, others as they are."""
    if data_format == LAST:
        return images
    images = tf.convert_to_tensor(images)
    rank = images.shape.rank
    return tf.transpose(images, [0, *range(2, rank), 1])


def from_last(images: tf.Tensor, data_format: str, dimensions: int) -> tf.Tensor:
    """Returns `[..., *size, C]` with C before the size, if the format is so."""
    if data_format == LAST:
        return images
    rank = images.shape.rank
    leading = rank - dimensions - 1
    return tf.transpose(images, [*range(leading), rank - 1, *range(leading, rank - 1)])


def last_shape(
    images: Sequence[int | None], data_format: str, dimensions: int
) -> tuple[int | None, ...]:
    """Returns the shape of images with the channels last.

    Raises:
        ValueError: If they have another rank.
    """
    size = "H, W" if dimensions == 2 else "D, H, W"
    layout = f"[N, {size}, C]" if data_format == LAST else f"[N, C, {size}]"
    if len(images) != dimensions + 2:
        raise ValueError(
            f"The images must be {layout} for such a transform and `data_format` {data_format!r}, "
            f"but they have shape {list(images)}."
        )
    batch, *rest = images
    return (batch, *rest) if data_format == LAST else (batch, *rest[1:], rest[0])


def size_of(images: tf.Tensor) -> tuple[int, ...] | tf.Tensor:
    """Returns the size of images, channels last; a tensor where it is not fixed."""
    size = images.shape[1:-1]
    return tuple(size) if size.is_fully_defined() else tf.shape(images)[1:-1]
