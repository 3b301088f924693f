"""Image files as a model takes them, and its points as pixels of the files."""

import io

import numpy as np

from stn_tf.data.fitting import original_pixels
from stn_tf.data.image_file import UNREADABLE, read_for
from stn_tf.interface import InputSpec
from stn_tf.serving.protocol.status import invalid


def decode_image(encoded: bytes, spec: InputSpec, what: str) -> tuple[np.ndarray, tuple[int, int]]:
    """Returns an image as the model takes it, and the height and width that it had.

    Args:
        encoded: The bytes of a file that Pillow reads.
        spec: A decodable input.
        what: What errors call it.

    Raises:
        Status: INVALID_ARGUMENT, if it cannot be decoded.
    """
    try:
        return read_for(io.BytesIO(encoded), spec)
    except UNREADABLE as error:
        text = " ".join(str(error).split()) or type(error).__name__
        # Pillow names the object in memory, which says nothing to anybody.
        reason = "no image file that can be read" if "BytesIO" in text else text
        raise invalid(
            f"{what} cannot be decoded: {reason.removesuffix('.')}. Send a whole JPEG or PNG file."
        ) from error


def file_pixels(points: np.ndarray, original: tuple[int, int], spec: InputSpec) -> np.ndarray:
    """Moves `[..., 2]` (x, y) pixels of a model's input to pixels of the file that it was."""
    return original_pixels(points, original, spec.size, resize=spec.resize, crop_pct=spec.crop_pct)
