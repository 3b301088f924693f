"""Memory of models that are gone, given back to the system."""

import contextlib
import ctypes
import gc
import sys


def give_back() -> None:
    """Frees what only cycles hold, and hands free memory back; glibc alone keeps it."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # Other C libraries have no such function.
            ctypes.CDLL(None).malloc_trim(0)
