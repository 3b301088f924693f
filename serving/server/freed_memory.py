"""What the process keeps of the memory that requests free."""

import contextlib
import ctypes
import sys

# From malloc.h, and the most that glibc allows for the threshold.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_THRESHOLD_BYTES = 32 << 20
_ARENAS = 2
KEPT_BYTES = 128 << 20


def keep_freed_memory() -> None:
    """Lets glibc keep up to `KEPT_BYTES` of what is freed, for the next request.

    Otherwise it hands large blocks back, and the system clears new pages for every large request.
    Threads share what is kept. Unloading a model still gives all back.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError):  # Other C libraries have no such function.
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(_M_ARENA_MAX, _ARENAS)
            mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)
            mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
