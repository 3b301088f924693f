"""Real images, distorted on the fly: from a source to batches.

    load_source           digits (embedded), mnist (idx files) or folder (one sub-folder per class)
    Source, Examples      what a source gives: train, validation and test examples, class names
    read_image            one image file as the folder source sees it
    read_for              one image file as a model takes it

    DISTORTIONS           none, r, rts, p, e, tc: the distorted MNIST sets of the paper
    canvas_size           the size of the images that a distortion gives
    draw, distort         random parameters, and the images that they make

    training_dataset      endless shuffled batches; batch `step` depends on seed and step alone
    evaluation_dataset    every example once, distorted in the same way each time

A batch is `(images, labels)`: float32 `[N, H, W, C]` in 0..1 and int32 `[N]`.
Importing this package does not import TensorFlow; `draw` and what follows it do.
"""

import importlib
from typing import TYPE_CHECKING, Any

from stn_tf.data.canvas import DISTORTIONS, canvas_size
from stn_tf.data.image_file import read_for, read_image
from stn_tf.data.source import SOURCES, Examples, Source, load_source

if TYPE_CHECKING:
    from stn_tf.data.distortions import distort, draw
    from stn_tf.data.pipeline import evaluation_dataset, training_dataset

__all__ = [
    "DISTORTIONS",
    "SOURCES",
    "Examples",
    "Source",
    "canvas_size",
    "distort",
    "draw",
    "evaluation_dataset",
    "load_source",
    "read_for",
    "read_image",
    "training_dataset",
]

_LAZY = {
    "distort": "stn_tf.data.distortions",
    "draw": "stn_tf.data.distortions",
    "evaluation_dataset": "stn_tf.data.pipeline",
    "training_dataset": "stn_tf.data.pipeline",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'stn_tf.data' has no attribute {name!r}")
