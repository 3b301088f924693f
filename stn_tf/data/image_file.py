"""Image files: any that Pillow reads, brought to the size and the channels of a model.

`stn_tf.export.image_decoding` computes the same in TensorFlow operations: the two share `fitted`'s
rule, the order of the steps, and where they round.
"""

import math
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageMode, ImageOps

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
_FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
Size = tuple[int | None, int | None]


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
    pixels = _fit(image, size, channels, resize, crop_pct, pad_value, interpolation, antialias)
    return pixels if pixels.dtype == np.uint8 else rounded(pixels)


def read_for(file: Path | IO[bytes], spec: "InputSpec") -> tuple[np.ndarray, tuple[int, int]]:
    """Decodes an image as a model takes it.

    As `read_image`, but what has more than 8 bits keeps them.

    Args:
        file: A path or an open binary file.
        spec: The model's input.

    Returns:
        The image, without a batch axis, of the layout and the type of `spec`; and the height and
        width that it had in its file, as shown on a screen, for `original_pixels`.

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
        bits, which `rounded` brings to uint8; and the height and width in the file.

    Raises:
        As `read_for`.
    """
    spec.require_decodable()
    channels = 1 if spec.color_space == "grayscale" else 3
    image = _decode(file, channels)
    pixels = _fit(
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


def fitted(
    original: tuple[int, int],
    size: Size,
    *,
    resize: str = "letterbox",
    crop_pct: float = 1.0,
) -> Box:
    """Returns where an image of `original` height and width lies once brought to `size`.

    Of `center_crop` the box hangs over: its left and top are 0 or less.
    """
    height, width = (old if new is None else new for old, new in zip(original, size, strict=True))
    if resize == "squash":
        return Box(0, 0, width, height)
    if resize == "letterbox":
        scale = min(height / original[0], width / original[1])
        tall, wide = (max(1, round(length * scale)) for length in original)
        return Box((width - wide) // 2, (height - tall) // 2, wide, tall)
    if resize != "center_crop":
        raise ValueError(
            f"`resize` must be letterbox, squash or center_crop, but it is {resize!r}."
        )
    if not 0 < crop_pct <= 1:
        raise ValueError(f"`crop_pct` must be in (0, 1], but it is {crop_pct}.")
    # As timm and torchvision have it: the longer side is cut down to a whole number.
    tall, wide = math.floor(height / crop_pct), math.floor(width / crop_pct)
    if tall * original[1] >= wide * original[0]:
        wide = tall * original[1] // original[0]
    else:
        tall = wide * original[0] // original[1]
    return Box(-_half(wide - width), -_half(tall - height), wide, tall)


def original_pixels(
    points: np.ndarray,
    original: tuple[int, int],
    size: Size,
    *,
    resize: str = "letterbox",
    crop_pct: float = 1.0,
) -> np.ndarray:
    """Moves `[..., 2]` (x, y) pixels of a fitted image to pixels of the image it came from.

    Args:
        points: Pixel (0, 0) is centred on (0.0, 0.0).
        original: Height and width of the image it came from.
        size: Height and width of the fitted image, as `read_image` took it.
        resize: How it was fitted.
        crop_pct: As `read_image` took it.

    Returns:
        float32 `[..., 2]`.
    """
    box = fitted(original, size, resize=resize, crop_pct=crop_pct)
    scale = np.array([original[1] / box.width, original[0] / box.height])
    # Half a pixel, because scaling keeps the edges of pixels and not their centres.
    moved = (points - np.array([box.left, box.top]) + 0.5) * scale - 0.5
    return np.asarray(moved, np.float32)


def rounded(pixels: np.ndarray) -> np.ndarray:
    """Returns float pixels of 0..255 as uint8, rounded as Pillow does, halves up."""
    return np.clip(np.floor(pixels + np.float32(0.5)), 0, 255).astype(np.uint8)


def _half(length: int) -> int:
    """Half of it, rounded to even."""
    return (length + (length % 4 == 3)) // 2


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


def _fit(
    image: Image.Image,
    size: Size | None,
    channels: int,
    resize: str,
    crop_pct: float,
    pad_value: float,
    interpolation: str,
    antialias: bool,
) -> np.ndarray:
    """Returns `[height, width, channels]`, uint8; of an `F` image float32 in 0..255."""
    original = image.height, image.width
    size = size or original
    height, width = (old if new is None else new for old, new in zip(original, size, strict=True))
    if min(height, width) < 1:
        raise ValueError(f"`size` must be (height, width), at least 1, but it is {size}.")
    if not 0 <= pad_value <= 255:
        raise ValueError(f"`pad_value` must be in 0..255, but it is {pad_value}.")
    box = fitted(original, size, resize=resize, crop_pct=crop_pct)
    pixels = _scaled(image, box.height, box.width, interpolation, antialias)
    pixels = pixels.reshape(box.height, box.width, -1)
    if resize == "center_crop":
        pixels = pixels[-box.top :, -box.left :][:height, :width]
    elif (box.height, box.width) != (height, width):
        around = np.full((height, width, pixels.shape[2]), round(pad_value), pixels.dtype)
        around[box.top : box.top + box.height, box.left : box.left + box.width] = pixels
        pixels = around
    return np.ascontiguousarray(np.broadcast_to(pixels, (height, width, channels)))


def _scaled(
    image: Image.Image, height: int, width: int, interpolation: str, antialias: bool
) -> np.ndarray:
    if interpolation not in ("nearest", *_FILTERS):
        raise ValueError(
            "`interpolation` must be bicubic, bilinear, lanczos or nearest, but it is "
            f"{interpolation!r}."
        )
    if (image.height, image.width) == (height, width):
        return np.asarray(image)
    if interpolation == "nearest":
        rows, columns = _nearest(height, image.height), _nearest(width, image.width)
        return np.asarray(image)[rows][:, columns]
    if antialias:
        pixels = np.asarray(image.resize((width, height), _FILTERS[interpolation]))
        return pixels if pixels.dtype == np.uint8 else np.clip(pixels, 0, 255)
    # Pillow's filters always widen.
    values = _interpolated(np.asarray(image), height, interpolation)
    values = _interpolated(values.swapaxes(0, 1), width, interpolation).swapaxes(0, 1)
    return rounded(values) if image.mode != "F" else np.clip(values, 0, 255)


def _nearest(new: int, old: int) -> np.ndarray:
    """The pixel around the centre of each new one, in whole numbers, which round nowhere."""
    return (2 * np.arange(new, dtype=np.int64) + 1) * old // (2 * new)


def _interpolated(values: np.ndarray, length: int, interpolation: str) -> np.ndarray:
    """Resamples the first axis without anti-aliasing, as `tf.image.resize(antialias=False)`."""
    kernel, radius = _KERNELS[interpolation]
    centres = (np.arange(length) + 0.5) * len(values) / length - 0.5
    taps = np.ceil(centres - radius).astype(np.int64) + np.arange(2 * radius)[:, None]
    # What lies outside of the image counts nothing.
    weights = kernel(np.abs(taps - centres)) * ((taps >= 0) & (taps < len(values)))
    weights = (weights / weights.sum(axis=0)).astype(np.float32)
    weights = weights.reshape(*weights.shape, *[1] * (values.ndim - 1))
    result = np.zeros((length, *values.shape[1:]), np.float32)
    for tap, weight in zip(np.clip(taps, 0, len(values) - 1), weights, strict=True):
        result += values[tap] * weight
    return result


def _triangle(distance: np.ndarray) -> np.ndarray:
    return np.maximum(1 - distance, 0)


def _keys(distance: np.ndarray) -> np.ndarray:
    """Keys's cubic with a = -0.5."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


def _lanczos(distance: np.ndarray) -> np.ndarray:
    return np.where(distance < 3, np.sinc(distance) * np.sinc(distance / 3), 0)


_KERNELS = {"bilinear": (_triangle, 1), "bicubic": (_keys, 2), "lanczos": (_lanczos, 3)}
