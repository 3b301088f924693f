"""Where decoded images are kept: in memory, in a file, or nowhere."""

import contextlib
import logging
import math
import mmap
import os
import shutil
import threading
import weakref
from pathlib import Path
from typing import Protocol

import numpy as np

from stn_tf.errors import ConfigError

_LOG = logging.getLogger(__name__)

Shape = tuple[int, int, int]
# What is known of an image.
ABSENT, EXACT, ROUNDED = 0, 1, 2
# Of a file, so many are written out at once.
_UNSAVED_BYTES = 64 * 2**20


class Kept(Protocol):
    """Images by number, each uint8 of one shape.

    Threads may call these at the same time, also for the same image.
    """

    def get(self, indices: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Copies the images that are here to `out`, and returns the state of each of `indices`."""

    def put(self, index: int, pixels: np.ndarray, state: int) -> None:
        """Keeps an image, EXACT or ROUNDED to 8 bits, if there is room for it."""


class Nothing:
    """Keeps no image."""

    def get(self, indices: np.ndarray, out: np.ndarray) -> np.ndarray:
        return np.zeros(len(indices), np.uint8)

    def put(self, index: int, pixels: np.ndarray, state: int) -> None:
        pass


class InMemory:
    """Keeps the first images in memory, which the system gives as they come.

    Args:
        count: How many there are.
        shape: Of each.
        limit_bytes: How much they may take together; images that no longer fit are not kept.
    """

    def __init__(self, count: int, shape: Shape, limit_bytes: int) -> None:
        self.capacity = min(count, max(0, limit_bytes) // math.prod(shape))
        length = self.capacity * math.prod(shape)
        pages = np.frombuffer(_pages(length), np.uint8, length)
        self._images = pages.reshape(self.capacity, *shape)
        self._states = np.zeros(count, np.uint8)

    def get(self, indices: np.ndarray, out: np.ndarray) -> np.ndarray:
        states = self._states[indices]
        there = np.flatnonzero(states)
        out[there] = self._images[indices[there]]
        return states

    def put(self, index: int, pixels: np.ndarray, state: int) -> None:
        if index < self.capacity:
            self._images[index] = pixels
            self._states[index] = state


def _pages(count: int) -> mmap.mmap:
    """Returns writable memory that the system gives page by page, as it is written.

    NumPy asks for pages of 2 MB: images at random would soon take all of them.
    """
    pages = mmap.mmap(-1, max(count, 1))
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with contextlib.suppress(OSError):  # A kernel without huge pages.
            pages.madvise(mmap.MADV_NOHUGEPAGE)
    return pages


class OnDisk:
    """Keeps images in a file, which later runs find again, also after this one was killed.

    A second file says which images are there: it is written after these have reached the disk.

    Args:
        folder: Where the files are; it is made.
        identity: What the files are called: of the images and of how they were decoded.
        count: How many images there are.
        shape: Of each.

    Raises:
        ConfigError: If the files cannot be made, or the disk has no room for them.
    """

    def __init__(self, folder: Path, identity: str, count: int, shape: Shape) -> None:
        self._bytes = math.prod(shape)
        self._full = False
        images, states = folder / f"{identity}.images", folder / f"{identity}.states"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            taken = images.stat().st_blocks * 512 if images.exists() else 0
            free = shutil.disk_usage(folder).free
            if count * self._bytes > taken + free:
                raise ConfigError(
                    f"`cache_dir` must have room for {count * self._bytes / 2**30:.1f} GiB of "
                    f"decoded images, but {folder} has {free / 2**30:.1f} GiB. Choose another, or "
                    "cache=none."
                )
            self._files = _Files(images, states, count, self._bytes)
        except OSError as error:
            raise ConfigError(
                f"`cache_dir` must be a folder that can be written, but {folder} is not: "
                f"{error.strerror}."
            ) from None
        weakref.finalize(self, self._files.close)

    def get(self, indices: np.ndarray, out: np.ndarray) -> np.ndarray:
        states = self._files.states[indices]
        for position in np.flatnonzero(states):
            offset = int(indices[position]) * self._bytes
            if os.preadv(self._files.images, [out[position]], offset) != self._bytes:
                states[position] = ABSENT
        return states

    def put(self, index: int, pixels: np.ndarray, state: int) -> None:
        if self._full:
            return
        try:
            self._files.write(index, pixels, state)
        except OSError as error:
            self._full = True
            _LOG.warning("No more decoded images are kept on disk: %s", error.strerror)


class _Files:
    """The two files of a cache, and what of the first is not told in the second yet."""

    def __init__(self, images: Path, states: Path, count: int, image_bytes: int) -> None:
        self.images = os.open(images, os.O_RDWR | os.O_CREAT, 0o666)
        self._on_disk = os.open(states, os.O_RDWR | os.O_CREAT, 0o666)
        # They have these sizes if they are there, and others may be at work in them.
        os.ftruncate(self.images, count * image_bytes)
        os.ftruncate(self._on_disk, count)
        self.states = np.frombuffer(os.pread(self._on_disk, count, 0), np.uint8).copy()
        self._image_bytes = image_bytes
        self._unsaved: list[int] = []
        self._lock = threading.Lock()

    def write(self, index: int, pixels: np.ndarray, state: int) -> None:
        content = memoryview(np.ascontiguousarray(pixels).data).cast("B")
        written = 0
        while written < len(content):
            offset = index * self._image_bytes + written
            written += os.pwrite(self.images, content[written:], offset)
        self.states[index] = state
        with self._lock:
            self._unsaved.append(index)
            if len(self._unsaved) * self._image_bytes >= _UNSAVED_BYTES:
                self._save()

    def close(self) -> None:
        with self._lock:
            self._save()
            os.close(self.images)
            os.close(self._on_disk)

    def _save(self) -> None:
        saved, self._unsaved = self._unsaved, []
        if not saved:
            return
        os.fsync(self.images)
        for index in saved:
            os.pwrite(self._on_disk, self.states[index : index + 1].tobytes(), index)
