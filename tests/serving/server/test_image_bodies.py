"""One encoded image, or one array, as the body of a REST request."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

PREDICT = "/v1/models/small:predict"
HEIGHT, WIDTH = 9, 8


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def grey(height: int, width: int) -> Image.Image:
    """Even blocks, which shrink to pixels without rounding."""
    levels = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    blocks = np.kron(levels, np.ones((height // HEIGHT, width // WIDTH), np.uint8))
    return Image.fromarray(blocks)


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(2).integers(0, 256, (60, 60), np.uint8))


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def asked(server, data: bytes, kind: str = "image/png", path: str = PREDICT) -> dict:
    status, answer = server.call(path, data, kind)
    assert status == 200, answer
    (row,) = answer["predictions"]
    return row


def tensors(server, signature: str, image: Image.Image) -> dict:
    """What the signature says about the pixels, as JSON."""
    pixels = np.asarray(image, np.float32)[np.newaxis, ..., np.newaxis] / 255
    body = {"signature_name": signature, "instances": pixels.tolist()}
    status, answer = server.call(PREDICT, body)
    assert status == 200, answer
    return answer["predictions"][0]


def test_class_and_corners_of_an_image_of_the_models_size(server):
    image = grey(HEIGHT, WIDTH)
    row = asked(server, encoded(image))
    expected = tensors(server, "serving_default", image) | tensors(server, "localize", image)
    assert row.pop("label") == str(row["class"])
    assert set(row) == set(expected) == {"logits", "probabilities", "class", "theta", "corners"}
    for name, value in expected.items():
        np.testing.assert_allclose(row[name], value, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("size", "scale", "shift"),
    [
        # (y, x): how many pixels of the file a pixel of the model is, and where its image begins.
        ((18, 16), (2.0, 2.0), (0, 0)),
        ((36, 16), (4.0, 4.0), (0, 2)),
        ((9, 80), (9.0, 10.0), (4, 0)),
    ],
)
def test_corners_are_in_pixels_of_the_file(size, scale, shift, server):
    image = grey(9, 8).resize(size[::-1])
    row = asked(server, encoded(image))
    fitted = Image.new("L", (WIDTH, HEIGHT))
    inner = (round(size[1] / scale[1]), round(size[0] / scale[0]))
    fitted.paste(image.resize(inner, Image.Resampling.BICUBIC), shift[::-1])
    expected = np.array(tensors(server, "localize", fitted)["corners"])
    expected = (expected - np.array(shift[::-1]) + 0.5) * np.array(scale[::-1]) - 0.5
    np.testing.assert_allclose(row["corners"], expected, atol=1e-3)


def test_a_turned_photograph_reads_as_it_is_shown(server):
    image = grey(18, 16)
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned by a quarter, clockwise.
    turned = encoded(image.transpose(Image.Transpose.ROTATE_90), exif=exif)
    upright = asked(server, encoded(image))
    row = asked(server, turned)
    for name in ("logits", "corners"):
        np.testing.assert_allclose(row[name], upright[name], atol=1e-4)


def test_colour_transparency_and_16_bits(server):
    image = grey(18, 16)
    expected = asked(server, encoded(image))["logits"]
    for other in (image.convert("RGB"), image.convert("RGBA")):
        np.testing.assert_allclose(asked(server, encoded(other))["logits"], expected, atol=1e-4)
    # What has more than 8 bits is not rounded to them once it has been fitted.
    deep = np.asarray(image).astype(np.uint16) * 257
    row = asked(server, encoded(Image.fromarray(deep)))
    np.testing.assert_allclose(row["logits"], expected, atol=5e-3)
    levels = np.random.default_rng(3).integers(0, 2**16, (HEIGHT, WIDTH), np.uint16)
    body = {"instances": (levels[np.newaxis, ..., np.newaxis] / 65535).tolist()}
    _, answer = server.call(PREDICT, body)
    row = asked(server, encoded(Image.fromarray(levels)))
    wanted = answer["predictions"][0]["logits"]
    np.testing.assert_allclose(row["logits"], wanted, atol=1e-5)
    hidden = Image.new("RGBA", image.size, (255, 255, 255, 0))
    black = asked(server, encoded(Image.new("L", image.size)))
    np.testing.assert_allclose(asked(server, encoded(hidden))["logits"], black["logits"], atol=1e-5)
    # The only one that loses something.
    jpeg = asked(server, encoded(image, "JPEG", quality=95), "image/jpeg")
    np.testing.assert_allclose(jpeg["logits"], expected, atol=0.1)


def bomb() -> bytes:
    """A PNG file of a few bytes, whose header announces 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        total = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", total)

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "The body cannot be decoded: no image file that can be read."),
        (b"{}", "The body cannot be decoded: no image file that can be read."),
        (encoded(noise())[:500], "The body cannot be decoded: image file is truncated"),
        (bomb(), "The body cannot be decoded: Image size (1600000000 pixels) exceeds limit"),
    ],
)
def test_images_that_cannot_be_decoded(data, message, server):
    status, answer = server.call(PREDICT, data, "image/png")
    assert status == 400
    assert answer["error"].startswith(message)
    asked(server, encoded(grey(9, 8)))


def test_the_signature_is_chosen_in_the_query(server, pictures):
    image = grey(HEIGHT, WIDTH)
    crop = asked(server, encoded(image), path=f"{PREDICT}?signature_name=rectify")
    np.testing.assert_allclose(crop, tensors(server, "rectify", image), atol=1e-5)
    small = asked(server, encoded(image), path=f"{PREDICT}?signature_name=serving_bytes")
    assert set(small) == {"logits", "probabilities", "class", "label"}
    path = f"{PREDICT}?signature_name=localize"
    status, answer = server.call(path, npy(pictures), "application/x-npy")
    assert status == 200
    body = {"signature_name": "localize", "instances": pictures.tolist()}
    _, expected = server.call(PREDICT, body)
    for row, wanted in zip(answer["predictions"], expected["predictions"], strict=True):
        np.testing.assert_allclose(row["corners"], wanted["corners"], atol=1e-5)
    for data, kind in ((encoded(image), "image/png"), (npy(pictures), "application/x-npy")):
        status, answer = server.call(f"{PREDICT}?signature_name=other", data, kind)
        assert (status, answer["error"]) == (400, 'Serving signature key "other" not found.')
