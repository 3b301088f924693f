"""Jaderberg et al. 2015: their networks, distortions, data and experiments.

    NETWORKS, build_network   the networks of appendix A.4
    ADDITION_NETWORKS, build_addition_network   those of A.1
    VOLUME_NETWORKS, build_volume_network   those of A.3
    load_source               digits (embedded), mnist (idx files) or folder
    Source, Examples          what a source gives: train, validation and test examples, class names

    DISTORTIONS               none, r, rts, p, e, tc: the distorted MNIST sets
    canvas_size               the size of the images that a distortion gives
    draw, distort             random parameters, and the images that they make

    DistortedImages, Pairs, HiddenDigits, ExtrudedDigits   scenes: what images are made of, and
                              what is random
    training_dataset          endless shuffled batches; batch `step` depends on seed and step alone
    evaluation_dataset        every example once, distorted in the same way each time

Images are float32 `[N, H, W, C]` in 0..1, labels int32 `[N]`. Nothing outside of
this room imports it but the list of experiments.

Importing this package does not import TensorFlow; its names are loaded at first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stn_tf.paper.addition import Pairs
    from stn_tf.paper.canvas import DISTORTIONS, canvas_size
    from stn_tf.paper.colocalisation_scenes import HiddenDigits
    from stn_tf.paper.config import ADDITION_NETWORKS, NETWORKS, VOLUME_NETWORKS
    from stn_tf.paper.distortions import DistortedImages, distort, draw
    from stn_tf.paper.networks import PARAMETER_BUDGET, build_addition_network, build_network
    from stn_tf.paper.pipeline import evaluation_dataset, training_dataset
    from stn_tf.paper.source import SOURCES, Examples, Source, load_source
    from stn_tf.paper.volume_networks import build_volume_network
    from stn_tf.paper.volumes import ExtrudedDigits

__all__ = [
    "ADDITION_NETWORKS",
    "DISTORTIONS",
    "NETWORKS",
    "PARAMETER_BUDGET",
    "SOURCES",
    "VOLUME_NETWORKS",
    "DistortedImages",
    "Examples",
    "ExtrudedDigits",
    "HiddenDigits",
    "Pairs",
    "Source",
    "build_addition_network",
    "build_network",
    "build_volume_network",
    "canvas_size",
    "distort",
    "draw",
    "evaluation_dataset",
    "load_source",
    "training_dataset",
]

_MODULES = {
    "stn_tf.paper.canvas": ("DISTORTIONS", "canvas_size"),
    "stn_tf.paper.addition": ("Pairs",),
    "stn_tf.paper.colocalisation_scenes": ("HiddenDigits",),
    "stn_tf.paper.config": ("ADDITION_NETWORKS", "NETWORKS", "VOLUME_NETWORKS"),
    "stn_tf.paper.distortions": ("DistortedImages", "distort", "draw"),
    "stn_tf.paper.networks": ("PARAMETER_BUDGET", "build_addition_network", "build_network"),
    "stn_tf.paper.pipeline": ("evaluation_dataset", "training_dataset"),
    "stn_tf.paper.source": ("SOURCES", "Examples", "Source", "load_source"),
    "stn_tf.paper.volume_networks": ("build_volume_network",),
    "stn_tf.paper.volumes": ("ExtrudedDigits",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'stn_tf.paper' has no attribute {name!r}")
