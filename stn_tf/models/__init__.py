"""Networks for photographs.

    build_classifier    images -> logits: a backbone, and transformers in front of it
    choose_backbone     what `auto` chooses, and the lines that say why
    BACKBONES           the names of the backbones

Importing this package does not import TensorFlow: the names are loaded at first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

# Public name -> module that defines it.
_PUBLIC = {
    "BACKBONES": "stn_tf.models.backbone",
    "build_classifier": "stn_tf.models.classifier",
    "choose_backbone": "stn_tf.models.backbone",
}
__all__ = ["BACKBONES", "build_classifier", "choose_backbone"]

if TYPE_CHECKING:
    from stn_tf.models.backbone import BACKBONES, choose_backbone
    from stn_tf.models.classifier import build_classifier


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'stn_tf.models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_PUBLIC))
