"""How an image file is to be turned, found and done in stock TensorFlow operations."""

from collections.abc import Callable

import tensorflow as tf

_PNG = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112  # EXIF's tag.
# EXIF stands among the first segments; a file of millions of them must cost nobody minutes.
_SEGMENTS = 200


@tf.function(autograph=False)
def orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The EXIF orientation of a JPEG, PNG or WebP file, 1..8; 1 where it says none."""
    data = tf.io.decode_raw(encoded, tf.uint8)
    end = tf.size(data)
    data = tf.concat([data, tf.zeros([1], tf.uint8)], axis=0)

    def read(at: tf.Tensor, count: int) -> tf.Tensor:
        places = at[..., None] + tf.range(count)
        inside = (places >= 0) & (places < end)  # Outside there are zeros.
        return tf.cast(tf.gather(data, tf.where(inside, places, end)), tf.int64)

    def number(at: tf.Tensor, count: int, little: tf.Tensor | bool = False) -> tf.Tensor:
        weights = tf.constant([256**place for place in range(count)], tf.int64)
        digits = read(at, count) * tf.where(little, weights, tf.reverse(weights, [0]))
        return tf.cast(tf.minimum(tf.reduce_sum(digits, axis=-1), 2**30), tf.int32)

    def says(at: tf.Tensor, name: bytes) -> tf.Tensor:
        return tf.reduce_all(tf.equal(read(at, len(name)), list(name)))

    def walk(
        first: int,
        found: Callable[[tf.Tensor], tf.Tensor],
        length: Callable[[tf.Tensor], tf.Tensor],
        over: Callable[[tf.Tensor], tf.Tensor],
    ) -> tf.Tensor:
        """From one segment to the next, until it is found; past the end if it is not."""
        (at,) = tf.while_loop(
            lambda at: (at < end) & ~found(at),
            lambda at: [tf.where(over(at), end, at + length(at))],
            [tf.constant(first)],
            maximum_iterations=_SEGMENTS,
        )
        return tf.where(found(at), at, end)

    def in_jpeg() -> tf.Tensor:
        return 10 + walk(
            2,
            lambda at: says(at, b"\xff\xe1") & says(at + 4, b"Exif\0\0"),
            lambda at: 2 + number(at + 2, 2),
            lambda at: ~says(at, b"\xff") | says(at, b"\xff\xda"),
        )

    def in_png() -> tf.Tensor:
        return 8 + walk(
            8,
            lambda at: says(at + 4, b"eXIf"),
            lambda at: 12 + number(at, 4),
            lambda at: says(at + 4, b"IDAT"),
        )

    def in_webp() -> tf.Tensor:
        return 8 + walk(
            12,
            lambda at: says(at, b"EXIF"),
            lambda at: 8 + (number(at + 4, 4, True) + 1) // 2 * 2,
            lambda at: ~says(tf.constant(0), b"RIFF"),
        )

    start = tf.constant(0)
    tiff = tf.case([(says(start, b"\xff\xd8"), in_jpeg), (says(start, _PNG), in_png)], in_webp)
    little = says(tiff, b"II")
    entries = tiff + number(tiff + 4, 4, little)
    places = entries + 2 + 12 * tf.range(number(entries, 2, little))
    values = number(places + 8, 2, little)
    wanted = tf.equal(number(places, 2, little), _ORIENTATION) & (values >= 1) & (values <= 8)
    return tf.reduce_max(tf.concat([[1], tf.where(wanted, values, 1)], axis=0))


def turned(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Returns `[H, W, C]` pixels as an orientation, 1..8, says they are to be seen."""

    def within(*orientations: int) -> tf.Tensor:
        return tf.reduce_any(tf.equal(orientation, orientations))

    swapped = tf.cond(within(5, 6, 7, 8), lambda: tf.transpose(pixels, [1, 0, 2]), lambda: pixels)
    mirrored = tf.cond(within(2, 3, 6, 7), lambda: tf.reverse(swapped, [1]), lambda: swapped)
    return tf.cond(within(3, 4, 7, 8), lambda: tf.reverse(mirrored, [0]), lambda: mirrored)
