"""Image files: any that Pillow reads, brought to the size and the channels of a model.

`stn_tf.export.tensorflow.image_decoding` computes the same in TensorFlow operations.
"""

import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageMode, ImageOps

from stn_tf.data.fitting import Size, fit_image, rounded

if TYPE_CHECKING:
    from stn_tf.interface import InputSpec

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
_QUARTER_TURNS = (5, 6, 7, 8)
# Tags of TIFF.
_WIDTH, _HEIGHT, _BITS, _WHITE_IS = 256, 257, 258, 262


class Header(NamedTuple):
    """What an image file says before it is decoded."""

    height: int
    width: int
    channels: int


def read_header(file: Path | IO[bytes]) -> Header:
    """Reads the size, as shown on a screen, and whether there is colour (3 channels or 1)."""
    with Image.open(file) as image:
        width, height = image.size
        if image.format == "TIFF":  # Some versions of Pillow have turned its size already.
            width, height = image.tag_v2[_WIDTH], image.tag_v2[_HEIGHT]  # type: ignore[attr-defined]
        if image.getexif().get(_ORIENTATION, 1) in _QUARTER_TURNS:
            width, height = height, width
        grey = ImageMode.getmode(image.mode).basemode == "L"
        return Header(height, width, 1 if grey else 3)


def read_image(
    file: Path | IO[bytes],
    size: Size | None = None,
    channels: int = 3,
    *,
    resize: str = "letterbox",
    crop_pct: float = 1.0,
    pad_value: float = 0.0,
    interpolation: str = "bicubic",
    antialias: bool = True,
) -> np.ndarray:
    """Decodes an image and brings it to `size`.

    The image is turned as its EXIF orientation says; of several (an animation) the first is taken.
    Transparent parts become black. Colour becomes grey by ITU-R 601, before the size changes. Of
    more than 8 bits the greatest number that they can hold is white, and of floats 1.0, whatever
    the one image holds.

    Args:
        file: A path or an open binary file.
        size: Height and width in pixels; None, as a whole or for a side, is the image's own.
        channels: 1 or 3.
        resize: `letterbox` fits the image as a whole and without distortion into the middle of
            `size`, `squash` stretches it, `center_crop` fills `size / crop_pct` without distortion
            and takes the middle of it.
        crop_pct: Of `center_crop`: the share of a side that is kept, in (0, 1].
        pad_value: Of `letterbox`: the pixels around the image, 0..255, rounded to a whole number.
            Black is also what the distortions put outside.
        interpolation: `bicubic`, `bilinear`, `lanczos` or `nearest`.
        antialias: Whether the filter widens with the scale where an image shrinks.

    Returns:
        uint8 `[height, width, channels]`.

    Raises:
        ValueError: If an argument is wrong, or the file's numbers do not say what white is.
        Any of `UNREADABLE`: If the file cannot be decoded.
    """
    image = _decode(file, channels)
    pixels = fit_image(image, size, channels, resize, crop_pct, pad_value, interpolation, antialias)
    return pixels if pixels.dtype == np.uint8 else rounded(pixels)


def read_for(file: Path | IO[bytes], spec: "InputSpec") -> tuple[np.ndarray, tuple[int, int]]:
    """Decodes an image as a model takes it.

    As `read_image`, but what has more than 8 bits keeps them.

    Args:
        file: A path or an open binary file.
        spec: The model's input.

    Returns:
        The image, without a batch axis, of the layout and the type of `spec`; and the height and
        width that it had in its file, as shown on a screen, for `fitting.original_pixels`.

    Raises:
        ModelError: If images cannot become that input.
        ValueError: If the file's numbers do not say what white is.
        Any of `UNREADABLE`: If the file cannot be decoded.
    """
    pixels, original = read_pixels(file, spec)
    return spec.from_pixels(pixels), original


def read_pixels(file: Path | IO[bytes], spec: "InputSpec") -> tuple[np.ndarray, tuple[int, int]]:
    """Decodes an image and brings it to the size of `spec`, but not yet to its range and layout.

    Returns:
        `[height, width, channels]` in 0..255, red first: uint8, or float32 of what has more than 8
        bits, which `fitting.rounded` brings to uint8; and the height and width in the file.

    Raises:
        As `read_for`.
    """
    spec.require_decodable()
    channels = 1 if spec.color_space == "grayscale" else 3
    image = _decode(file, channels)
    pixels = fit_image(
        image,
        spec.size,
        channels,
        spec.resize,
        spec.crop_pct,
        spec.pad_value,
        spec.interpolation,
        spec.antialias,
    )
    return pixels, (image.height, image.width)


def _decode(file: Path | IO[bytes], channels: int) -> Image.Image:
    """Returns the image, turned and without transparency, as `L`, `RGB`, or `F` in 0..255."""
    if channels not in (1, 3):
        raise ValueError(f"`channels` must be 1 (grey) or 3 (colour), but it is {channels}.")
    with Image.open(file) as opened:
        image = ImageOps.exif_transpose(opened)
        if opened.mode[0] in "IF":
            return _decode_deep(opened, image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        on_black = Image.new("RGB", image.size)
        on_black.paste(image.convert("RGB"), mask=image.getchannel("A"))
        image = on_black
    return image.convert("L" if channels == 1 else "RGB")


def _decode_deep(opened: Image.Image, turned: Image.Image) -> Image.Image:
    """More than 8 bits, one channel -> `F` in 0..255."""
    black, white = _black_and_white(opened)
    values = np.asarray(turned, np.float32)
    if opened.mode == "F":
        _check_floats(values)
    pixels = np.clip((values - np.float32(black)) * np.float32(255 / (white - black)), 0, 255)
    if isinstance(clear := opened.info.get("transparency"), int):
        pixels[values == clear] = 0
    return Image.fromarray(pixels)


def _black_and_white(image: Image.Image) -> tuple[float, float]:
    """What numbers are black and white in an image of mode I, I;16, F: of the format alone."""
    tags = image.tag_v2 if image.format == "TIFF" else {}  # type: ignore[attr-defined]
    white = 1.0
    if image.mode != "F":
        bits = tags.get(_BITS, (16,))[0]
        # Pillow reads 16 unsigned bits as I;16, and as I where it knows that they are 16.
        if bits > 16 or (image.mode == "I" and image.format not in ("PNG", "PPM")):
            raise ValueError(
                "its pixels are integers that are signed or of more than 16 bits, which do not say "
                "what white is. Save it as a PNG or TIFF file of 8 or 16 bits."
            )
        white = 2.0**bits - 1
    return (white, 0.0) if tags.get(_WHITE_IS) == 0 else (0.0, white)


def _check_floats(values: np.ndarray) -> None:
    least, greatest = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    slack = 1e-3  # Filters overshoot, and half precision rounds.
    if not (least >= -slack and greatest <= 1 + slack):  # NaN fails too.
        raise ValueError(
            "its pixels are floats, which must be in 0..1 (black to white), but they go from "
            f"{least:g} to {greatest:g}. Scale them, or save it as a PNG file of 8 or 16 bits."
        )
