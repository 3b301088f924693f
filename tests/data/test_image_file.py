"""One image file, as training, a job and a server see it."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from stn_tf.data import read_for, read_image
from stn_tf.data.fitting import fitted, original_pixels
from stn_tf.data.image_file import read_header
from stn_tf.errors import ModelError
from stn_tf.interface import InputSpec

ORIENTATION = 0x0112
# What each orientation does to an array, by the EXIF standard.
TURNS = {
    1: lambda v: v,
    2: lambda v: v[:, ::-1],
    3: lambda v: v[::-1, ::-1],
    4: lambda v: v[::-1],
    5: lambda v: v.swapaxes(0, 1),
    6: lambda v: np.rot90(v, -1),
    7: lambda v: v[::-1, ::-1].swapaxes(0, 1),
    8: lambda v: np.rot90(v),
}


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **options: object) -> io.BytesIO:
    file = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(file, form, **options)
    file.seek(0)
    return file


def input_spec(height: int | None, width: int | None, channels: int = 3, **fields) -> InputSpec:
    fields = {"dtype": "float32", "layout": "NHWC", "value_range": (0.0, 255.0)} | fields
    shape = (None, channels, height, width)
    if fields["layout"] == "NHWC":
        shape = (None, height, width, channels)
    colours = "rgb" if channels == 3 else "grayscale"
    return InputSpec(**{"name": "images", "shape": shape, "color_space": colours} | fields)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "deep PNG", "deep TIFF"])
def test_images_are_turned_as_exif_says(
    orientation: int, form: str, rng: np.random.Generator
) -> None:
    deep = form.startswith("deep")
    values = rng.integers(0, 256, (6, 4), np.uint8)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    written = values.astype(np.uint16) * 257 if deep else np.stack([values] * 3, axis=-1)
    options = {"lossless": True} if form == "WEBP" else {}
    file = encoded(written, form.removeprefix("deep "), exif=exif, **options)
    expected = TURNS[orientation](values)
    np.testing.assert_array_equal(read_image(file, channels=1)[..., 0], expected)
    assert read_header(file)[:2] == expected.shape
    turned, original = read_for(file, input_spec(None, None, 1))
    np.testing.assert_array_equal(turned[..., 0], expected)
    assert original == expected.shape


def test_letterbox_in_whole_pixels(rng: np.random.Generator) -> None:
    # 6 x 4 in 6 x 10: as it is, with three columns on each side.
    values = rng.integers(0, 256, (6, 4), np.uint8)
    small = read_image(encoded(values), (6, 10), channels=1)[..., 0]
    np.testing.assert_array_equal(small, np.pad(values, ((0, 0), (3, 3))))
    assert fitted((6, 4), (6, 10)) == (3, 0, 4, 6)
    around = read_image(encoded(values), (6, 10), 1, pad_value=113.6)[..., 0]
    np.testing.assert_array_equal(
        around, np.pad(values, ((0, 0), (3, 3)), constant_values=np.uint8(114))
    )


# Of (256, 258) one column hangs over, and none of it on the left.
@pytest.mark.parametrize("original", [(375, 500), (500, 375), (300, 300), (97, 1001), (256, 258)])
@pytest.mark.parametrize("size", [(224, 224), (60, 100)])
@pytest.mark.parametrize("crop_pct", [0.875, 0.9, 1.0])
def test_center_crop_is_that_of_torchvision(
    original: tuple[int, int],
    size: tuple[int, int],
    crop_pct: float,
    rng: np.random.Generator,
) -> None:
    values = rng.integers(0, 256, (*original, 3), np.uint8)
    found = read_image(encoded(values), size, resize="center_crop", crop_pct=crop_pct)
    tall, wide = (int(length / crop_pct) for length in size)
    # torchvision's `Resize` of the side that must shrink less, and its `CenterCrop`.
    if tall / original[0] > wide / original[1]:
        wide = int(tall * original[1] / original[0])
    else:
        tall = int(wide * original[0] / original[1])
    image = Image.fromarray(values).resize((wide, tall), Image.Resampling.BICUBIC)
    top, left = round((tall - size[0]) / 2), round((wide - size[1]) / 2)
    np.testing.assert_array_equal(
        found, np.asarray(image)[top : top + size[0], left : left + size[1]]
    )


def test_free_sides_are_the_image_s_own(rng: np.random.Generator) -> None:
    values = rng.integers(0, 256, (20, 30, 3), np.uint8)
    for resize in ("letterbox", "squash", "center_crop"):
        for size in (None, (None, None), (20, None), (None, 30)):
            same = read_image(encoded(values), size, resize=resize)
            np.testing.assert_array_equal(same, values)
    assert read_image(encoded(values), (None, 15)).shape == (20, 15, 3)
    assert read_image(encoded(values), (10, None), resize="squash").shape == (10, 30, 3)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest"])
@pytest.mark.parametrize("size", [(17, 23), (64, 48), (131, 177)])
def test_without_antialiasing_as_tensorflow(
    interpolation: str, size: tuple[int, int], rng: np.random.Generator
) -> None:
    values = rng.integers(0, 256, (61, 103, 3), np.uint8)
    found = read_image(
        encoded(values), size, resize="squash", interpolation=interpolation, antialias=False
    )
    method = "lanczos3" if interpolation == "lanczos" else interpolation
    expected = tf.image.resize(values, size, method, antialias=False)
    # Half for rounding; TensorFlow's bicubic reads its weights from a table.
    np.testing.assert_allclose(found, np.clip(expected, 0, 255), atol=0.9)


@pytest.mark.parametrize("resize", ["letterbox", "squash", "center_crop"])
@pytest.mark.parametrize("size", [(60, 100), (48, 48), (300, 200)])
def test_original_pixels_undoes_fitting(resize: str, size: tuple[int, int]) -> None:
    # A soft spot, found again where it was.
    original, spot = (240, 180), np.array([80.0, 130.0])
    y, x = np.mgrid[:240, :180]
    values = 255 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * 9.0**2))
    how = {"resize": resize, "crop_pct": 0.875}
    small = read_image(encoded(values.astype(np.uint8)), size, 1, **how)[..., 0].astype(float)
    y, x = np.mgrid[: size[0], : size[1]]
    centre = np.array([(small * x).sum(), (small * y).sum()]) / small.sum()
    found = original_pixels(centre, original, size, **how)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, spot, atol=0.15)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "PGM"])
@pytest.mark.parametrize("largest", [200, 255, 256, 65535])
def test_sixteen_bits_whatever_the_image_holds(mode: str, largest: int) -> None:
    values = np.linspace(0, largest, 24).astype(np.uint16).reshape(4, 6)
    if mode == "PGM":
        header = b"P5 6 4 65535 "
        file = io.BytesIO(header + values.astype(">u2").tobytes())
    elif mode == "I;16B":
        image = Image.frombytes("I;16B", (6, 4), values.astype(">u2").tobytes())
        file = encoded(image, "TIFF")
    else:
        file = encoded(values)
    pixels, _ = read_for(file, input_spec(None, None, 1))
    np.testing.assert_allclose(pixels[..., 0], values / 257, rtol=1e-6)
    file.seek(0)
    whole = read_image(file)
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole[..., 1], np.floor(values / 257 + 0.5))


def test_sixteen_bits_keep_their_precision(rng: np.random.Generator) -> None:
    values = rng.integers(0, 65536, (64, 64)).astype(np.uint16)
    spec = input_spec(16, 16, value_range=(0.0, 1.0), interpolation="bilinear")
    small, _ = read_for(encoded(values), spec)
    steps = np.unique(np.round(small * 65535 * 16))
    assert len(steps) > 250  # 256 pixels, none of them rounded to one of 256.
    white = Image.fromarray(np.full((4, 4), 65535, np.uint16))
    clear = read_image(encoded(white, transparency=65535))
    np.testing.assert_array_equal(clear, 0)


def tiff(values: np.ndarray, bits: int, kind: int, white_is: int = 1) -> io.BytesIO:
    """A little-endian TIFF file of one strip, as cameras of science write them."""
    data = values.tobytes()
    tags = [
        (256, values.shape[1]),
        (257, values.shape[0]),
        (258, bits),
        (259, 1),
        (262, white_is),
        (273, 8 + 2 + 10 * 12 + 4),
        (277, 1),
        (278, values.shape[0]),
        (279, len(data)),
        (339, kind),
    ]
    entries = b"".join(
        tag.to_bytes(2, "little")
        + (4).to_bytes(2, "little")
        + (1).to_bytes(4, "little")
        + value.to_bytes(4, "little")
        for tag, value in tags
    )
    head = b"II*\0" + (8).to_bytes(4, "little") + len(tags).to_bytes(2, "little")
    return io.BytesIO(head + entries + bytes(4) + data)


def test_numbers_whose_white_is_declared() -> None:
    floats = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    for scale in (1.0, 0.5, 0.001):  # Dark images stay dark.
        pixels, _ = read_for(tiff(floats * np.float32(scale), 32, 3), input_spec(None, None, 1))
        np.testing.assert_allclose(pixels[..., 0], floats * (255 * scale), rtol=1e-5)
    pixels, _ = read_for(tiff(floats, 32, 3, white_is=0), input_spec(None, None, 1))
    np.testing.assert_allclose(pixels[..., 0], 255 - 255 * floats, atol=1e-4)
    deep = (floats * 65535).astype(np.uint16)
    pixels, _ = read_for(tiff(deep, 16, 1, white_is=0), input_spec(None, None, 1))
    np.testing.assert_allclose(pixels[..., 0], (65535 - deep) / 257, rtol=1e-5)
    # Twelve bits: two numbers in three bytes.
    packed = np.array([[0xFF, 0xF8, 0x00]], np.uint8)  # 4095 and 2048.
    file = tiff(packed, 12, 1)
    data = bytearray(file.getvalue())
    data[10 + 8 : 10 + 12] = (2).to_bytes(4, "little")  # Two wide.
    pixels, _ = read_for(io.BytesIO(bytes(data)), input_spec(None, None, 1))
    np.testing.assert_allclose(pixels[0, :, 0], [255, 2048 * 255 / 4095], rtol=1e-6)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (tiff(np.array([[0, 9]], np.int32), 32, 2), "integers that are signed or of more than 16"),
        (tiff(np.array([[0, 9]], np.uint32), 32, 1), "integers that are signed or of more than 16"),
        (tiff(np.array([[0, 9]], np.int16), 16, 2), "integers that are signed or of more than 16"),
        (tiff(np.array([[0, 255]], np.float32), 32, 3), r"in 0\.\.1 .* go from 0 to 255\. Scale"),
        (tiff(np.array([[0, -0.1]], np.float32), 32, 3), r"go from -0\.1 to 0"),
        (tiff(np.array([[0, np.nan]], np.float32), 32, 3), "go from nan to nan"),
    ],
)
def test_numbers_whose_white_is_unknown_exception_raised(file: io.BytesIO, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_image(file)


def test_transparency_is_black(rng: np.random.Generator) -> None:
    colour = rng.integers(0, 256, (9, 7, 3), np.uint8)
    alpha = rng.integers(0, 256, (9, 7, 1), np.uint8)
    expected = np.floor(colour.astype(float) * alpha / 255 + 0.5)
    found = read_image(encoded(np.concatenate([colour, alpha], axis=-1)))
    np.testing.assert_array_equal(found, expected)
    grey = np.concatenate([colour[..., :1], alpha], axis=-1)
    found = read_image(encoded(grey), channels=1)
    np.testing.assert_array_equal(found, expected[..., :1])
    palette = Image.fromarray(colour).quantize(8)
    first = np.asarray(palette) == 3
    expected = np.where(first[..., None], 0, np.asarray(palette.convert("RGB")))
    for form in ("PNG", "GIF"):
        found = read_image(encoded(palette, form, transparency=3))
        np.testing.assert_array_equal(found, expected)


def test_colours_of_other_modes(rng: np.random.Generator) -> None:
    colour = rng.integers(0, 256, (9, 7, 3), np.uint8)
    grey = colour @ np.array([0.299, 0.587, 0.114])  # ITU-R 601.
    np.testing.assert_allclose(read_image(encoded(colour), None, 1)[..., 0], grey, atol=0.51)
    np.testing.assert_array_equal(read_image(encoded(colour[..., 0])), colour[..., [0, 0, 0]])
    bits = colour[..., 0] > 127
    np.testing.assert_array_equal(read_image(encoded(bits))[..., 0], bits * 255)
    # No black ink: the inks are the colours' complements.
    inks = np.concatenate([255 - colour, np.zeros_like(colour[..., :1])], axis=-1)
    cmyk = encoded(Image.frombytes("CMYK", (7, 9), inks.tobytes()), "TIFF")
    np.testing.assert_array_equal(read_image(cmyk), colour)
    assert read_header(cmyk) == (9, 7, 3)
    frames = [Image.fromarray(np.full((4, 4), shade, np.uint8)) for shade in (10, 200)]
    animation = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(animation), 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": "stretch"}, "`resize` must be letterbox, squash or center_crop, .* 'stretch'"),
        ({"resize": "center_crop", "crop_pct": 1.2}, r"`crop_pct` must be in \(0, 1\], .* 1\.2"),
        ({"interpolation": "cubic"}, "`interpolation` must be bicubic, .* 'cubic'"),
        ({"pad_value": -1}, r"`pad_value` must be in 0\.\.255, but it is -1"),
        ({"channels": 4}, r"`channels` must be 1 \(grey\) or 3 \(colour\), but it is 4"),
        ({"size": (0, 5)}, r"`size` must be \(height, width\), at least 1, but it is \(0, 5\)"),
    ],
)
def test_wrong_arguments_exception_raised(options: dict, message: str) -> None:
    file = encoded(np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=message):
        read_image(file, **options)


def test_read_for_a_model_without_a_range() -> None:
    with pytest.raises(ModelError, match="--input-range"):
        read_for(encoded(np.zeros((4, 4), np.uint8)), input_spec(4, 4, value_range=None))
