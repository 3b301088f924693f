"""Keeps libraries written in C++ from writing about this machine and their progress."""

import contextlib
import os
import sys
from collections.abc import Iterator


def import_tensorflow() -> None:
    """Imports TensorFlow, and looks for GPUs, without its lines about this machine.

    TensorFlow 2.21 logs before it reads TF_CPP_MIN_LOG_LEVEL, so the variable alone is not enough.
    """
    with standard_error_closed():
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextlib.contextmanager
def standard_error_closed() -> Iterator[None]:
    """Sends what the process writes to standard error nowhere."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # It is closed already.
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
