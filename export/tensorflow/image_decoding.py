"""Encoded images as a model takes them, in stock TensorFlow operations: what `serving_bytes` does.

The same as `stn_tf.data.image_file`, which says what each step means: the same integers for where
an image lies, the same filters, rounding where Pillow rounds.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from stn_tf.export.tensorflow.exif_orientation import orientation, turned
from stn_tf.interface import InputSpec, numpy_dtype

# What the exporter tells beside the signature.
DIFFERENCES = (
    "serving_bytes reads JPEG, PNG, GIF and BMP files (WebP from TensorFlow 2.21 on), turned as "
    "their EXIF orientation says. It reads no TIFF and no orientation that stands in XMP alone; "
    "`stn-tf serve` and `stn-tf predict` do."
)

_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = 32  # Bytes.
_KERNELS = {"bicubic": "keyscubic", "bilinear": "triangle", "lanczos": "lanczos3"}
_SIXTEEN_BITS = 257  # 65535 / 255

Length: TypeAlias = tf.Tensor | int
Lengths: TypeAlias = tuple[Length, Length]


def decode_images(image_bytes: tf.Tensor, spec: InputSpec) -> tf.Tensor:
    """Decodes a batch of encoded images, each of any size.

    Args:
        image_bytes: `[N]`, string: JPEG, PNG, GIF (its first image) or BMP files.
        spec: The model's input. Where a side of it is free, all images of a batch must end with
            one size.

    Returns:
        `[N, height, width, channels]`, or `[N, channels, height, width]` if that is its layout, in
        its type, range and order of colours.

    Raises:
        ModelError: If images cannot become that input.
    """
    spec.require_decodable()
    kind = tf.as_dtype(numpy_dtype(spec.dtype))

    def decode(encoded: tf.Tensor) -> tf.Tensor:
        pixels, deep = _decode(encoded, 1 if spec.color_space == "grayscale" else 3)
        pixels = turned(pixels, orientation(encoded))
        values = _from_pixels(_fit(pixels, deep, spec), spec)
        return tf.ensure_shape(values, spec.shape[1:])

    # No operation here has a kernel for GPUs that is worth the way there.
    with tf.device("CPU:0"):
        if None in spec.shape[1:]:
            return _mapped(decode, image_bytes, tf.TensorSpec(spec.shape[1:], kind))
        return tf.map_fn(
            decode, image_bytes, fn_output_signature=tf.TensorSpec(spec.shape[1:], kind)
        )


def _mapped(
    decode: Callable[[tf.Tensor], tf.Tensor], image_bytes: tf.Tensor, one: tf.TensorSpec
) -> tf.Tensor:
    """`tf.map_fn` that says what is wrong where images differ in size."""
    count = tf.size(image_bytes)

    def step(
        index: tf.Tensor, images: tf.TensorArray, shapes: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.TensorArray, tf.TensorArray]:
        image = decode(image_bytes[index])
        return index + 1, images.write(index, image), shapes.write(index, tf.shape(image))

    _, images, shapes = tf.while_loop(
        lambda index, *_: index < count,
        step,
        (
            tf.constant(0),
            tf.TensorArray(one.dtype, count, element_shape=one.shape),
            tf.TensorArray(tf.int32, count, element_shape=[3]),
        ),
    )
    seen = shapes.stack()
    same = tf.debugging.assert_equal(
        seen,
        seen[:1],
        "The model takes images of any size, but all images of one request must have one size. "
        "Send them one by one.",
    )
    with tf.control_dependencies([same]):
        return images.stack()


@tf.function(autograph=False)
def _decode(encoded: tf.Tensor, channels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns float32 `[height, width, channels]` in 0..255, and whether it has over 8 bits."""
    # Long enough for all that is read of it, whatever it is.
    header = tf.strings.substr(encoded, 0, _HEADER) + b"\0" * _HEADER
    header = tf.cast(tf.io.decode_raw(header, tf.uint8), tf.int32)
    is_png = tf.reduce_all(tf.equal(header[: len(_PNG)], list(_PNG)))
    # 16 bits, and nothing but grey.
    is_deep = is_png & tf.reduce_all(tf.equal(header[24:26], [16, 0]))

    def shallow() -> tf.Tensor:
        image = tf.cond(
            tf.io.is_jpeg(encoded),
            lambda: _jpeg(encoded),
            lambda: tf.cond(is_png, lambda: _png(encoded, header), lambda: _other(encoded, header)),
        )
        if channels == 1:
            # Pillow's integers for 0.299, 0.587 and 0.114.
            weighted = image * tf.constant([19595, 38470, 7471])
            image = (tf.reduce_sum(weighted, axis=-1, keepdims=True) + 2**15) // 2**16
        return tf.cast(image, tf.float32)

    image = tf.cond(is_deep, lambda: _deep_png(encoded, channels), shallow)
    return tf.ensure_shape(image, [None, None, channels]), is_deep


def _deep_png(encoded: tf.Tensor, channels: int) -> tf.Tensor:
    image = tf.cast(tf.io.decode_png(encoded, channels=4, dtype=tf.uint16), tf.float32)
    grey = tf.where(image[..., 3:] > 0.0, image[..., :1] / float(_SIXTEEN_BITS), 0.0)
    return tf.repeat(grey, channels, axis=-1)


def _jpeg(encoded: tf.Tensor) -> tf.Tensor:
    # Not the fast cosine transform, TensorFlow's default.
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.cast(image, tf.int32)


def _png(encoded: tf.Tensor, header: tf.Tensor) -> tf.Tensor:
    image = tf.cast(tf.io.decode_png(encoded, channels=4), tf.int32)
    alpha = image[..., 3:]
    # TensorFlow 2.21 makes images of 1, 2 and 4 bits opaque with 1, 3 and 15. A whole image of
    # such an alpha is not to be expected otherwise.
    opaque = 2 ** header[24] - 1
    alpha = tf.cond(
        (opaque < 255) & tf.reduce_all(tf.equal(alpha, opaque)),
        lambda: tf.fill(tf.shape(alpha), 255),
        lambda: alpha,
    )
    return _on_black(image[..., :3], alpha)


def _on_black(colours: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    return (colours * alpha * 2 + 255) // 510  # Rounded.


def _other(encoded: tf.Tensor, header: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(encoded, expand_animations=False)  # Refuses what it does not know.
    image.set_shape([None, None, None])
    image = tf.cast(image, tf.int32)

    def colours() -> tf.Tensor:
        # An 8-bit BMP, of which TensorFlow gives the indices: its palette is behind two headers.
        start = 14 + header[14] + 256 * header[15]
        bytes_ = tf.io.decode_raw(tf.strings.substr(encoded, start, 1024), tf.uint8)
        palette = tf.reshape(bytes_[: tf.size(bytes_) // 4 * 4], [-1, 4])
        palette = tf.reverse(palette[:, :3], [1])
        return tf.gather(tf.cast(palette, tf.int32), image[..., 0])

    # The fourth channel of a BMP file is not used.
    is_bmp = tf.reduce_all(tf.equal(header[:2], list(b"BM")))
    return tf.case(
        [
            (tf.equal(tf.shape(image)[-1], 1), colours),
            (tf.equal(tf.shape(image)[-1], 3) | is_bmp, lambda: image[..., :3]),
        ],
        lambda: _on_black(image[..., :3], image[..., 3:]),  # WebP, which TensorFlow 2.21 reads.
    )


def _fit(pixels: tf.Tensor, deep: tf.Tensor, spec: InputSpec) -> tf.Tensor:
    shape = tf.shape(pixels)
    original = shape[0], shape[1]
    tall, wide = spec.size
    size = original[0] if tall is None else tall, original[1] if wide is None else wide
    top, left, height, width = _fitted(original, size, spec)
    pixels = _scaled(pixels, deep, height, width, spec)
    if spec.resize == "center_crop":
        return pixels[top : top + size[0], left : left + size[1]]
    if spec.resize == "letterbox":
        around = [
            [top, size[0] - top - height],
            [left, size[1] - left - width],
            [0, 0],
        ]
        return tf.pad(pixels, around, constant_values=float(round(spec.pad_value)))
    return pixels


def _fitted(
    original: Lengths, size: Lengths, spec: InputSpec
) -> tuple[Length, Length, Length, Length]:
    """Where an image lies: top, left, height, width. What is cut off at the top counts up."""
    if spec.resize == "squash":
        return 0, 0, *size
    wide = [tf.cast(length, tf.float64) for length in (*original, *size)]
    if spec.resize == "letterbox":
        scale = tf.minimum(wide[2] / wide[0], wide[3] / wide[1])
        height, width = (
            tf.maximum(1, tf.cast(tf.round(length * scale), tf.int32)) for length in wide[:2]
        )
        return (size[0] - height) // 2, (size[1] - width) // 2, height, width
    # Not `/`: Grappler makes a product of a division by a constant, and the floor another.
    share = tf.constant(spec.crop_pct, tf.float64)
    tall, broad = (tf.cast(tf.math.floordiv(length, share), tf.int64) for length in wide[2:])
    old_tall, old_broad = (tf.cast(length, tf.int64) for length in original)
    high = tall * old_broad >= broad * old_tall
    height = tf.cast(tf.where(high, tall, broad * old_tall // old_broad), tf.int32)
    width = tf.cast(tf.where(high, tall * old_broad // old_tall, broad), tf.int32)
    return _half(height - size[0]), _half(width - size[1]), height, width


def _half(length: tf.Tensor) -> tf.Tensor:
    return (length + tf.cast(tf.equal(length % 4, 3), tf.int32)) // 2


def _scaled(
    pixels: tf.Tensor, deep: tf.Tensor, height: Length, width: Length, spec: InputSpec
) -> tf.Tensor:
    shape = tf.shape(pixels)
    if spec.interpolation == "nearest":
        rows, columns = _nearest(height, shape[0]), _nearest(width, shape[1])
        return tf.gather(tf.gather(pixels, rows), columns, axis=1)

    def resample() -> tf.Tensor:
        if not spec.antialias:
            return _whole(_resampled(pixels, height, width, spec), deep)
        # Pillow's order, and it rounds after each.
        across = _whole(_resampled(pixels, shape[0], width, spec), deep)
        return _whole(_resampled(across, height, width, spec), deep)

    same = tf.reduce_all(tf.equal(shape[:2], [height, width]))
    return tf.cond(same, lambda: pixels, resample)


def _nearest(new: Length, old: tf.Tensor) -> tf.Tensor:
    new, old = tf.cast(new, tf.int64), tf.cast(old, tf.int64)
    return (2 * tf.range(new) + 1) * old // (2 * new)


def _resampled(pixels: tf.Tensor, height: Length, width: Length, spec: InputSpec) -> tf.Tensor:
    size = tf.stack([height, width])
    old = tf.cast(tf.shape(pixels)[:2], tf.float32)
    return tf.raw_ops.ScaleAndTranslate(
        images=pixels[None],
        size=size,
        scale=tf.cast(size, tf.float32) / old,
        translation=tf.zeros([2]),
        kernel_type=_KERNELS[spec.interpolation],
        antialias=spec.antialias,
    )[0]


def _whole(pixels: tf.Tensor, deep: tf.Tensor) -> tf.Tensor:
    """Whole numbers of 0..255, halves up, of what has 8 bits."""
    return tf.cond(
        deep,
        lambda: pixels,
        lambda: tf.clip_by_value(tf.floor(pixels + 0.5), 0.0, 255.0),
    )


def _from_pixels(pixels: tf.Tensor, spec: InputSpec) -> tf.Tensor:
    """`InputSpec.from_pixels`."""
    assert spec.value_range is not None
    low, high = spec.value_range
    values = tf.clip_by_value(pixels, 0.0, 255.0)
    if spec.color_space == "bgr":
        values = tf.reverse(values, [-1])
    if (low, high) != (0.0, 255.0):
        values = low + values / 255.0 * (high - low)
    if spec.mean != (0.0,) or spec.std != (1.0,):
        values = (values - np.asarray(spec.mean, "f4")) / np.asarray(spec.std, "f4")
    kind = tf.as_dtype(numpy_dtype(spec.dtype))
    if kind.is_integer:
        values = tf.round(values)
    values = tf.cast(values, kind)
    return tf.transpose(values, [2, 0, 1]) if spec.layout == "NCHW" else values
