"""Splits examples into train, validation and test, in the same way on every machine."""

import hashlib
from collections.abc import Iterable

import numpy as np

TRAIN, VALIDATION, TEST = 0, 1, 2
PARTS = ("train", "validation", "test")


def stratified_split(
    names: Iterable[str], labels: np.ndarray, *, validation: float, test: float
) -> np.ndarray:
    """Returns TRAIN, VALIDATION or TEST for each example.

    Every class is put in the order of the SHA-256 of its examples' names and cut into shares, so
    that the split depends on names alone, not on order, library versions or a seed, and adding
    examples moves few others. A wanted part gets at least one example of each class; a class
    needs one example for each part.

    Args:
        names: One for each example, for example a relative path.
        labels: Integers `[N]`.
        validation: Share of each class, 0 for none.
        test: Share of each class, 0 for none.

    Returns:
        int `[N]`.
    """
    digests = b"".join(
        hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() for name in names
    )
    hashes = np.frombuffer(digests, "S32")
    parts = np.full(len(labels), TRAIN)
    for label in np.unique(labels):
        (members,) = np.nonzero(labels == label)
        members = members[np.argsort(hashes[members], kind="stable")]
        start = 0
        for part, share in ((TEST, test), (VALIDATION, validation)):
            stop = start + (max(1, round(share * len(members))) if share else 0)
            parts[members[start:stop]] = part
            start = stop
    return parts
