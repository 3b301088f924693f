"""Image files: any that Pillow reads, brought to one size and number of channels."""

import struct
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
)
# What Pillow raises for files that are damaged, cut short, too large or no image at all.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    struct.error,
    Image.DecompressionBombError,
)

_ORIENTATION = 0x0112
_SIXTEEN_BITS = 257  # 65535 / 255


class Header(NamedTuple):
    """What an image file says before it is decoded."""

    height: int
    width: int
    channels: int


class Box(NamedTuple):
    """A rectangle of whole pixels."""

    left: int
    top: int
    width: int
    height: int


def read_header(file: Path | IO[bytes]) -> Header:
    """Reads the size, as shown on a screen, and whether there is colour (3 channels or 1)."""
    with Image.open(file) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION, 1) >= 5:  # Turned by a quarter.
            width, height = height, width
        return Header(height, width, 1 if image.mode[0] in "1LIF" else 3)


def read_image(
    file: Path | IO[bytes], size: tuple[int, int] | None = None, channels: int = 3
) -> np.ndarray:
    """Decodes an image and fits it into `size`.

    The image is turned as its EXIF orientation says, transparent parts become black, and 16 bits
    become 8. It is fitted with an anti-aliasing filter as a whole and without distortion; what
    remains on two sides is black (a letterbox), which is also what the distortions put outside.

    Args:
        file: A path or an open binary file.
        size: Height and width in pixels; None keeps the image's own.
        channels: 1 or 3.

    Returns:
        uint8 `[height, width, channels]`.

    Raises:
        Any of `UNREADABLE`: If the file cannot be decoded.
    """
    with Image.open(file) as opened:
        image = _to_mode(ImageOps.exif_transpose(opened), "L" if channels == 1 else "RGB")
    if size is not None and image.size != (size[1], size[0]):
        box = letterbox((image.height, image.width), size)
        small = image.resize((box.width, box.height), Image.Resampling.BICUBIC)
        image = Image.new(image.mode, (size[1], size[0]))
        image.paste(small, (box.left, box.top))
    return np.asarray(image).reshape(image.height, image.width, channels)


def letterbox(original: tuple[int, int], size: tuple[int, int]) -> Box:
    """Returns where an image of `original` height and width lies once fitted into `size`."""
    scale = min(size[0] / original[0], size[1] / original[1])
    height, width = (max(1, round(length * scale)) for length in original)
    return Box((size[1] - width) // 2, (size[0] - height) // 2, width, height)


def original_pixels(
    points: np.ndarray, original: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """Moves `[..., 2]` (x, y) pixels of a fitted image to pixels of the image it came from.

    Args:
        points: Pixel (0, 0) is centred on (0.0, 0.0).
        original: Height and width of the image it came from.
        size: Height and width of the fitted image.

    Returns:
        float32 `[..., 2]`.
    """
    box = letterbox(original, size)
    scale = np.array([original[1] / box.width, original[0] / box.height])
    # Half a pixel, because scaling keeps the edges of pixels and not their centres.
    moved = (points - np.array([box.left, box.top]) + 0.5) * scale - 0.5
    return np.asarray(moved, np.float32)


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode[0] in "IF":
        # Pillow would cut these off at 255.
        values = np.asarray(image, np.float64)
        if values.max(initial=0) > 255:
            values = values / _SIXTEEN_BITS
        return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    return image.convert(mode)
