"""Images brought to the size of a model, and points of theirs brought back.

`stn_tf.export.tensorflow.image_decoding` computes the same in TensorFlow operations: the two share
`fitted`'s rule, the order of the steps, and where they round.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

_FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
}
Size = tuple[int | None, int | None]


class Box(NamedTuple):
    """A rectangle of whole pixels."""

    left: int
    top: int
    width: int
    height: int


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


def fit_image(
    image: Image.Image,
    size: Size | None,
    channels: int,
    resize: str,
    crop_pct: float,
    pad_value: float,
    interpolation: str,
    antialias: bool,
) -> np.ndarray:
    """Brings a decoded image to a size.

    Args:
        image: Of the mode `L`, `RGB` or `F`.
        size: Height and width; None for the image's.
        channels: How many are returned.
        resize: `letterbox`, `squash` or `center_crop`.
        crop_pct: Of `center_crop`: which share of the side is kept.
        pad_value: Of `letterbox`: the pixel around the image, 0..255.
        interpolation: `bicubic`, `bilinear`, `lanczos` or `nearest`.
        antialias: Whether the filter widens with the scale where the image shrinks.

    Returns:
        `[height, width, channels]`, uint8; of an `F` image float32 in 0..255.

    Raises:
        ValueError: If a choice or a number is wrong.
    """
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
