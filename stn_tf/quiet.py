"""Starts TensorFlow without its lines about this machine."""

import os
import sys


def import_tensorflow() -> None:
    """Imports TensorFlow, and looks for GPUs, with standard error closed to it.

    TensorFlow 2.21 logs before it reads TF_CPP_MIN_LOG_LEVEL, so the variable alone is not enough.
    """
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # Standard error is closed already.
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
