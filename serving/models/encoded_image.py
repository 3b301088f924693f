"""Encoded images as a model reads them: decoded and fitted as in training."""

import io

import numpy as np

from stn_tf.data.image_file import UNREADABLE, read_image
from stn_tf.export.manifest import InputImages
from stn_tf.serving.protocol.status import invalid

# What an image file has that can be decoded here; a fourth channel would need TensorFlow.
DECODED_CHANNELS = (1, 3)


def decode_image(encoded: bytes, size: InputImages, what: str) -> np.ndarray:
    """Returns an image `[height, width, channels]`, float32 in 0..1.

    Args:
        encoded: The bytes of a file that Pillow reads.
        size: What the model takes.
        what: What errors call it.

    Raises:
        Status: INVALID_ARGUMENT, if it cannot be decoded.
    """
    try:
        pixels = read_image(io.BytesIO(encoded), (size.height, size.width), size.channels)
    except UNREADABLE as error:
        text = " ".join(str(error).split()) or type(error).__name__
        # Pillow names the object in memory, which says nothing to anybody.
        reason = "no image file that can be read" if "BytesIO" in text else text
        raise invalid(
            f"{what} cannot be decoded: {reason.removesuffix('.')}. Send a whole JPEG or PNG file."
        ) from error
    return pixels.astype(np.float32) / np.float32(255)
