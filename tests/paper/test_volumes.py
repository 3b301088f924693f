"""Extruded digits in volumes: their voxels, the networks that read them, a run of them."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stn_tf.data import keys
from stn_tf.paper import (
    Examples,
    ExtrudedDigits,
    load_source,
)

SIDE, THICKNESS = 60, 16


@pytest.fixture(scope="module")
def digits() -> Examples:
    return load_source("digits").train[:40]


def scenes(examples: Examples, **changes: Any) -> ExtrudedDigits:
    return ExtrudedDigits(
        examples, **{"side": SIDE, "thickness": THICKNESS, "degrees": 45.0, **changes}
    )


def drawn(examples: Examples, **changes: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Volumes of all examples, and what was drawn for them."""
    made = scenes(examples, **changes)
    parameters = made.draw(keys.make_key(3, 0), len(examples))
    volumes, labels = made.make(parameters, tf.range(len(examples), dtype=tf.int64))
    np.testing.assert_array_equal(labels, examples.labels)
    return volumes.numpy(), {name: value.numpy() for name, value in parameters.items()}


def trilinear(slab: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Reads `[d, h, w]` at points `[n, 3]` of (x, y, z) in voxels, with zeros around it."""
    ringed = np.pad(slab.astype(np.float64), 1)
    first = np.floor(points).astype(int)
    total = np.zeros(len(points))
    for corner in np.ndindex(2, 2, 2):
        place = first + corner
        weight = np.prod(1.0 - np.abs(points - place), axis=-1)
        x, y, z = (np.clip(place + 1, 0, np.array(ringed.shape)[::-1] - 1)).T
        total += weight * ringed[z, y, x]
    return total


def test_voxels_are_a_turned_slab_read_trilinearly(digits: Examples) -> None:
    examples = digits[:6]
    volumes, parameters = drawn(examples)
    depth, height, width = np.indices((SIDE, SIDE, SIDE)).reshape(3, -1)
    voxels = np.stack([width, height, depth], -1).astype(np.float64)
    for image, volume, rotation, shift in zip(
        examples.images[..., 0], volumes, parameters["rotation"], parameters["shift"], strict=True
    ):
        slab = np.repeat(image[None] / 255.0, THICKNESS, axis=0)
        centre = (np.array(slab.shape)[::-1] - 1) / 2
        points = (voxels - (SIDE - 1) / 2 - shift) @ rotation.astype(np.float64) + centre
        np.testing.assert_allclose(volume.ravel(), trilinear(slab, points), atol=5e-5)
