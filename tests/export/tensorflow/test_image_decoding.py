"""Images decoded in a TensorFlow graph, against Python's decoder and a formula in float64."""

import functools
import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from stn_tf.data import read_for
from stn_tf.data.fitting import fitted
from stn_tf.errors import ModelError
from stn_tf.export.tensorflow import image_decoding
from stn_tf.export.tensorflow.image_decoding import decode_images
from stn_tf.export.tensorflow.saved_model_file import check_stock
from stn_tf.interface import InputSpec
from tests.pairs import every_pair

MOST_MEAN, MOST = 1.0, 6.0  # Of 255.
FILTERS = ("bicubic", "bilinear", "lanczos", "nearest")
FITTINGS = ("letterbox", "squash", "center_crop")
CLEAR = 3  # The transparent colour of palettes.


def input_spec(size: tuple[int | None, int | None], channels: int = 3, **fields) -> InputSpec:
    fields = {
        "name": "images",
        "dtype": "float32",
        "shape": (None, *size, channels),
        "layout": "NHWC",
        "color_space": "rgb" if channels == 3 else "grayscale",
        "value_range": (0.0, 255.0),
    } | fields
    return InputSpec(**fields)


@functools.cache
def decoder(spec: InputSpec) -> tf.types.experimental.GenericFunction:
    signature = [tf.TensorSpec([None], tf.string, name="image_bytes")]
    return tf.function(
        lambda image_bytes: decode_images(image_bytes, spec), signature, autograph=False
    )


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def assert_same(found: np.ndarray, data: bytes, spec: InputSpec) -> None:
    """Within the promise: one pixel of 255 in the mean, and six anywhere."""
    expected, _ = read_for(io.BytesIO(data), spec)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    difference = np.abs(found.astype(np.float64) - expected)
    assert difference.mean() <= MOST_MEAN
    assert difference.max() <= MOST


def photograph(height: int, width: int, seed: int = 7) -> Image.Image:
    """Soft colours, hard edges and noise."""
    rng = np.random.default_rng(seed)
    soft = Image.fromarray(rng.integers(0, 256, (height // 40, width // 40, 3), np.uint8))
    values = np.array(soft.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    values[height // 3 :: 37, width // 4 :] = (255, 0, 30)
    values[: height // 2, width // 3 :: 53] = (0, 10, 255)
    values += rng.integers(-20, 21, values.shape, np.int16)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def large_jpeg() -> bytes:
    return encoded(photograph(2667, 4000), "JPEG", quality=90, subsampling="4:2:0")


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    colour = photograph(241, 323)
    grey = colour.convert("L")
    alpha = Image.fromarray(np.linspace(0, 255, 241 * 323).reshape(241, 323).astype(np.uint8))
    deep = np.asarray(grey).astype(np.uint16) * 257 - np.asarray(grey) // 2
    palette = colour.quantize(50)
    with_alpha = Image.merge("RGBA", [*colour.split(), alpha])
    return {
        "JPEG": encoded(colour, "JPEG", quality=90),
        "JPEG 4:4:4": encoded(colour, "JPEG", subsampling="4:4:4"),
        "JPEG progressive": encoded(colour, "JPEG", progressive=True),
        "JPEG grey": encoded(grey, "JPEG"),
        "JPEG CMYK": encoded(colour.convert("CMYK"), "JPEG"),
        "PNG": encoded(colour),
        "PNG RGBA": encoded(with_alpha),
        "PNG clear colour": encoded(colour, transparency=colour.getpixel((9, 9))),
        "PNG L": encoded(grey),
        "PNG LA": encoded(Image.merge("LA", [grey, alpha])),
        "PNG P": encoded(palette),
        "PNG P of 4 bits": encoded(colour.quantize(11), bits=4),
        "PNG P of 2 bits": encoded(colour.quantize(3), bits=2),
        "PNG P of 2 bits, clear": encoded(colour.quantize(4), bits=2, transparency=CLEAR),
        "PNG P clear": encoded(palette, transparency=CLEAR),
        "PNG 1": encoded(grey.convert("1")),
        "PNG of 16 bits": encoded(Image.fromarray(deep)),
        "PNG of 16 bits, dark": encoded(Image.fromarray(deep // 300)),
        "PNG of 16 bits, clear": encoded(Image.fromarray(deep), transparency=int(deep[9, 9])),
        "PNG RGB of 16 bits": _png_rgb16(np.asarray(colour)),
        "GIF": encoded(colour, "GIF"),
        "GIF clear": encoded(palette, "GIF", transparency=CLEAR),
        "GIF animated": encoded(grey, "GIF", save_all=True, append_images=[alpha]),
        "BMP": encoded(colour, "BMP"),
        "BMP grey": encoded(grey, "BMP"),
        "BMP P": encoded(palette, "BMP"),
        "BMP of 32 bits": encoded(with_alpha, "BMP"),
    }


def _png_rgb16(values: np.ndarray) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width, _ = values.shape
    wide = (values.astype(np.uint16) * 256 + 99).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_every_format(files: dict[str, bytes], channels: int) -> None:
    spec = input_spec((60, 100), channels)
    found = decoder(spec)(tf.constant(list(files.values()))).numpy()
    for row, (name, data) in zip(found, files.items(), strict=True):
        try:
            assert_same(row, data, spec)
        except AssertionError as error:
            raise AssertionError(name) from error


# The pairs are held on smaller images, below.
@every_pair(together=1, interpolation=FILTERS, resize=FITTINGS)
def test_a_large_photograph(large_jpeg: bytes, resize: str, interpolation: str) -> None:
    channels = 1 if resize == "squash" else 3
    spec = input_spec(
        (224, 224), channels, resize=resize, interpolation=interpolation, crop_pct=0.875
    )
    assert_same(decode_images(tf.constant([large_jpeg]), spec)[0].numpy(), large_jpeg, spec)


@every_pair(antialias=[True, False], interpolation=FILTERS, resize=FITTINGS)
def test_every_filter_shrinks_and_enlarges(
    files: dict[str, bytes], resize: str, interpolation: str, antialias: bool
) -> None:
    batch = [files["JPEG"], files["PNG RGBA"], files["PNG of 16 bits"], files["PNG 1"]]
    sizes = ((28, 28), (600, 331)) if antialias else ((60, 100),)
    for size in sizes:
        spec = input_spec(
            size,
            resize=resize,
            interpolation=interpolation,
            antialias=antialias,
            pad_value=114.0,
            crop_pct=0.9,
        )
        images = decode_images(tf.constant(batch), spec).numpy()
        for row, data in zip(images, batch, strict=True):
            assert_same(row, data, spec)


def test_birds(cub_dir: Path) -> None:
    birds = [path.read_bytes() for path in sorted((cub_dir / "images").rglob("*.jpg"))[::60]]
    for spec in (
        input_spec((224, 224), resize="center_crop", crop_pct=0.875),
        input_spec((96, 96), 1),
    ):
        for row, data in zip(decoder(spec)(tf.constant(birds)).numpy(), birds, strict=True):
            assert_same(row, data, spec)


def test_saved_and_loaded_again(large_jpeg: bytes, files: dict[str, bytes], tmp_path: Path) -> None:
    specs = {
        "a": input_spec((224, 224), resize="center_crop", crop_pct=0.875),
        "b": input_spec((60, 100), 1, interpolation="lanczos", antialias=False),
        "c": input_spec((None, None), interpolation="nearest"),
    }
    functions = {name: decoder(spec).get_concrete_function() for name, spec in specs.items()}
    signatures = {
        name: tf.function(
            lambda image_bytes, function=function: {"images": function(image_bytes)},
            [tf.TensorSpec([None], tf.string, name="image_bytes")],
        ).get_concrete_function()
        for name, function in functions.items()
    }
    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=signatures)
    check_stock(tmp_path)
    loaded = tf.saved_model.load(str(tmp_path)).signatures
    for name, spec in specs.items():
        batch = [large_jpeg] if name == "c" else [large_jpeg, files["PNG P"]]
        images = loaded[name](image_bytes=tf.constant(batch))["images"].numpy()
        for row, data in zip(images, batch, strict=True):
            assert_same(row, data, spec)


@pytest.mark.parametrize(
    "fields",
    [
        {"value_range": (0.0, 1.0)},
        {"value_range": (0.0, 255.0)},
        {"value_range": (0.0, 255.0), "dtype": "uint8"},
        {"value_range": (-128.0, 127.0), "dtype": "int8"},
        {"value_range": (-1.0, 1.0)},
        {"value_range": (-1.0, 1.0), "dtype": "float16"},
        {"value_range": (0.0, 1.0), "dtype": "bfloat16"},
        {"value_range": (0.0, 1.0), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
        {"value_range": (0.0, 255.0), "mean": (103.939, 116.779, 123.68), "color_space": "bgr"},
        {"value_range": (0.0, 1.0), "mean": (0.5,), "std": (0.25,), "layout": "NCHW"},
        {"value_range": (0.0, 1.0), "layout": "NCHW", "color_space": "bgr"},
        {"value_range": (1.0, 0.0)},
    ],
)
def test_range_formula(fields: dict, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, (5, 7, 3), np.uint8)
    shape = (None, 3, 5, 7) if fields.get("layout") == "NCHW" else (None, 5, 7, 3)
    spec = input_spec((5, 7), **{"shape": shape} | fields)
    colours = pixels[..., ::-1] if spec.color_space == "bgr" else pixels
    low, high = spec.value_range
    expected = (low + colours / 255.0 * (high - low) - np.array(spec.mean)) / np.array(spec.std)
    if spec.layout == "NCHW":
        expected = expected.transpose(2, 0, 1)
    data = encoded(Image.fromarray(pixels))
    tolerance = {"float16": 1e-3, "bfloat16": 8e-3, "uint8": 0.0, "int8": 0.0}.get(spec.dtype, 3e-5)
    for found in (
        decoder(spec)(tf.constant([data]))[0].numpy(),
        read_for(io.BytesIO(data), spec)[0],
    ):
        assert str(found.dtype) == spec.dtype
        np.testing.assert_allclose(found.astype(np.float64), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("size", [(28, 28), (60, 100), (224, 224), (None, None), (None, 37)])
@pytest.mark.parametrize(
    ("resize", "crop_pct"), [(r, c) for r in FITTINGS for c in (0.7, 0.95, 1.0)]
)
def test_images_lie_in_the_same_whole_pixels(
    size: tuple[int | None, int | None], resize: str, crop_pct: float
) -> None:
    spec = input_spec(size, resize=resize, crop_pct=crop_pct)
    draw = random.Random(1)
    originals = [(draw.randint(1, 5000), draw.randint(1, 5000)) for _ in range(1000)]
    originals += [(side, other) for side in range(1, 20) for other in range(1, 20)]
    heights, widths = np.array(originals, np.int32).T

    @tf.function
    def boxes(heights: tf.Tensor, widths: tf.Tensor) -> tuple[tf.Tensor, ...]:
        own = heights, widths
        sides = [
            tf.broadcast_to(new or old, tf.shape(old)) for new, old in zip(size, own, strict=True)
        ]
        return image_decoding._fitted(own, tuple(sides), spec)

    top, left, height, width = (np.broadcast_to(v, heights.shape) for v in boxes(heights, widths))
    sign = -1 if resize == "center_crop" else 1
    found = np.stack([sign * left, sign * top, width, height], axis=-1)
    expected = [fitted(original, size, resize=resize, crop_pct=crop_pct) for original in originals]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_images_are_turned_as_exif_says(form: str) -> None:
    image = photograph(90, 130)
    spec = input_spec((48, 64))
    batch = []
    for orientation in (*range(1, 9), 0, 9):
        for endian in ("<", ">"):
            exif = Image.Exif()
            exif.endian = endian
            exif[0x010F] = "A camera"  # Before it.
            exif[0x0112] = orientation
            exif[0x0132] = "2015:06:05 12:00:00"
            batch.append(encoded(image, form, exif=exif))
    try:
        found = decoder(spec)(tf.constant(batch)).numpy()
    except tf.errors.InvalidArgumentError as error:
        if "Unknown image file format" in str(error):
            pytest.skip("this TensorFlow reads no WebP")
        raise
    for row, data in zip(found, batch, strict=True):
        assert_same(row, data, spec)
    assert len({row.tobytes() for row in found}) == 8


def test_damaged_exif_turns_nothing(rng: np.random.Generator) -> None:
    """Whatever stands where EXIF would be, an image is decoded, and soon."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(photograph(90, 130), "JPEG", exif=exif)
    start = data.index(b"Exif\0\0")
    batch = []
    for _ in range(60):
        damaged = bytearray(data)
        for place in rng.integers(start, start + 32, 3):
            damaged[place] = rng.integers(0, 256)
        batch.append(bytes(damaged))
    assert decoder(input_spec((48, 64)))(tf.constant(batch)).shape == (60, 48, 64, 3)


def test_free_sizes() -> None:
    spec = input_spec((None, None))
    one, other = (encoded(photograph(*size)) for size in ((80, 120), (90, 120)))
    decode = decoder(spec)
    assert decode.get_concrete_function().structured_outputs.shape.as_list() == [None] * 3 + [3]
    for row in decode(tf.constant([one, one])).numpy():
        assert_same(row, one, spec)
    with pytest.raises(tf.errors.InvalidArgumentError, match="one request must have one size"):
        decode(tf.constant([one, other]))


def test_no_image_and_none_at_all() -> None:
    decode = decoder(input_spec((28, 28)))
    assert decode(tf.constant([], tf.string)).shape == (0, 28, 28, 3)
    for data in (b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(tf.constant([data]))


def test_input_that_is_no_image_exception_raised() -> None:
    with pytest.raises(ModelError, match="--input-range"):
        decode_images(tf.constant([b""]), input_spec((28, 28), value_range=None))
