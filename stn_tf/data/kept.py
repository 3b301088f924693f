"""Where decoded images are kept: in memory, in a file, or nowhere."""

import math
from typing import Protocol

import numpy as np

Shape = tuple[int, int, int]
# What is known of an image.
ABSENT, EXACT, ROUNDED = 0, 1, 2


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
        self._images = np.empty((self.capacity, *shape), np.uint8)
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
