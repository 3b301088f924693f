"""Starts TensorFlow without its lines about this machine, which are no concern of the command."""

import os
import sys

import click


def import_tensorflow() -> None:
    """Imports TensorFlow with standard error closed to it, unless `--debug` was given.

    TensorFlow 2.21 logs before it reads TF_CPP_MIN_LOG_LEVEL, so the variable alone is not enough.
    """
    context = click.get_current_context(silent=True)
    if context is not None and context.find_root().params.get("debug"):
        return
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # Standard error is closed already.
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        import tensorflow as tf

        tf.config.list_physical_devices()  # Looks for GPUs, and says so.
    finally:
        os.dup2(kept, 2)
        os.close(kept)
