"""Anybody's images.

    read_image            one image file, brought to a size
    read_for              one image file as a model takes it

Importing this package does not import TensorFlow.
"""

from stn_tf.data.image_file import read_for, read_image

__all__ = ["read_for", "read_image"]
