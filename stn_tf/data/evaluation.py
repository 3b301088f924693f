"""Every image once, as a server sees it."""

import numpy as np
import tensorflow as tf

from stn_tf.data.collection import Part
from stn_tf.data.decoded_images import DecodedImages, in_decoding_threads
from stn_tf.data.image_file import UNREADABLE, read_for
from stn_tf.data.kept import ROUNDED
from stn_tf.errors import DataError
from stn_tf.interface import InputSpec, numpy_dtype


def evaluation_images(
    part: Part,
    spec: InputSpec,
    classes: int,
    batch_size: int,
    decoded: DecodedImages | None = None,
) -> tf.data.Dataset:
    """Returns every image once, in order, exactly as `read_for` gives it.

    Args:
        part: The images.
        spec: The model's input; of a fixed size.
        classes: How many there are.
        batch_size: Of all batches but the last, which may be smaller.
        decoded: The images of `part` decoded for `spec` without oversampling, to be kept there.

    Returns:
        A dataset of `(images, labels)`: `[n, ...]` as `spec` has it, and one-hot float32
        `[n, classes]`. Going through it raises as `DecodedImages` does.

    Raises:
        ValueError: If there are no images, or an argument does not fit the others.
    """
    if not len(part):
        raise ValueError("`part` must not be empty.")
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, but it is {batch_size}.")
    if None in spec.size:
        raise ValueError("`spec` must be of a fixed height and width. Give it `image_size`.")
    if decoded is not None and (decoded.spec != spec or len(decoded) != len(part)):
        raise ValueError("`decoded` must be of `part` and `spec`, with an oversample of 1.")
    kind = numpy_dtype(spec.dtype)
    shape = [length for length in spec.shape[1:] if length is not None]

    def images(indices: np.ndarray) -> np.ndarray:
        values = np.empty((len(indices), *shape), kind)
        again = np.arange(len(indices))
        if decoded is not None:
            pixels, states = decoded.pixels_and_states(indices)
            values = spec.from_pixels(pixels)
            # More than 8 bits are kept nowhere.
            (again,) = np.nonzero(states == ROUNDED)

        def read(position: int) -> None:
            index = int(indices[position])
            try:
                values[position], _ = read_for(part.open(index), spec)
            except UNREADABLE as error:
                raise DataError(
                    f"The image {part.names[index]} cannot be read: {error or repr(error)}. "
                    "Replace it by a readable copy, or remove it."
                ) from None

        in_decoding_threads(read, again)
        return values

    with tf.init_scope(), tf.device("CPU:0"):
        labels = tf.constant(part.labels)
    count = len(part)

    def batch(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        indices = tf.range(start, tf.minimum(start + batch_size, count))
        values = tf.numpy_function(images, [indices], tf.as_dtype(kind), stateful=False)
        values.set_shape([None, *shape])
        return values, tf.one_hot(tf.gather(labels, indices), classes)

    traced = tf.autograph.experimental.do_not_convert(batch)
    return (
        tf.data.Dataset.range(0, count, batch_size)
        .map(traced, num_parallel_calls=2, deterministic=True)
        .prefetch(1)
    )
