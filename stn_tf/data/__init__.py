"""Anybody's images, from a folder to batches.

    load_collection       a folder or file -> Collection: classes, and three parts of images
    check_classes         whether a collection is of the classes of a model
    write_split           which image is in which part, kept with a run; read_split has it again

    read_image            one image file, brought to a size
    read_for              one image file as a model takes it

    DecodedImages         the images of a part by number, decoded once and kept where asked
    stored_spec           how they are kept: a little larger than the model takes them
    TrainingImages        endless shuffled batches; a step's depends on seed and step alone
    evaluation_images     every image once, as a server sees it
    data_errors           says which image could not be read, where TensorFlow wraps that up

Importing this package does not import TensorFlow; its names are loaded at first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stn_tf.data.collection import KINDS, Collection, Part, check_classes, load_collection
    from stn_tf.data.decoded_images import DecodedImages, data_errors, stored_size, stored_spec
    from stn_tf.data.evaluation import evaluation_images
    from stn_tf.data.image_file import read_for, read_image
    from stn_tf.data.split_file import read_split, write_split
    from stn_tf.data.training_images import TrainingImages

__all__ = [
    "KINDS",
    "Collection",
    "DecodedImages",
    "Part",
    "TrainingImages",
    "check_classes",
    "data_errors",
    "evaluation_images",
    "load_collection",
    "read_for",
    "read_image",
    "read_split",
    "stored_size",
    "stored_spec",
    "write_split",
]

_MODULES = {
    "stn_tf.data.collection": ("KINDS", "Collection", "Part", "check_classes", "load_collection"),
    "stn_tf.data.decoded_images": ("DecodedImages", "data_errors", "stored_size", "stored_spec"),
    "stn_tf.data.evaluation": ("evaluation_images",),
    "stn_tf.data.image_file": ("read_for", "read_image"),
    "stn_tf.data.split_file": ("read_split", "write_split"),
    "stn_tf.data.training_images": ("TrainingImages",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'stn_tf.data' has no attribute {name!r}")
