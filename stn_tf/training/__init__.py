"""Training, on one device or many, and what it leaves behind.

    fit             trains any Keras model on any data; returns a FitResult
    FitConfig       the settings of it
    FitResult       what came of it
    Interrupted     raised when a signal stopped it, after a checkpoint
    use_devices     what several workers call first

The names are loaded at first use: settings can be read without importing TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "FitConfig": "stn_tf.training.config",
    "FitResult": "stn_tf.training.fitting",
    "Interrupted": "stn_tf.training.interrupt",
    "fit": "stn_tf.training.fitting",
    "use_devices": "stn_tf.training.strategy",
}
__all__ = list(_PUBLIC)

if TYPE_CHECKING:
    from stn_tf.training.config import FitConfig as FitConfig
    from stn_tf.training.fitting import FitResult as FitResult
    from stn_tf.training.fitting import fit as fit
    from stn_tf.training.interrupt import Interrupted as Interrupted
    from stn_tf.training.strategy import use_devices as use_devices


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'stn_tf.training' has no attribute {name!r}")
