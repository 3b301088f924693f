"""How an image file says that it is turned, read in a TensorFlow graph."""

import io

import tensorflow as tf
from PIL import Image

from stn_tf.export.tensorflow import exif_orientation


def test_a_file_of_very_many_segments_is_not_walked_to_its_end() -> None:
    image = Image.new("RGB", (6, 4))
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif)
    data = file.getvalue()
    assert int(exif_orientation.orientation(tf.constant(data))) == 6
    for comments, expected in ((20, 6), (1000, 1)):
        many = data[:2] + b"\xff\xfe\x00\x02" * comments + data[2:]
        assert int(exif_orientation.orientation(tf.constant(many))) == expected
