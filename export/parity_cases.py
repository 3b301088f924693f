"""Points and matrices that break samplers."""

import numpy as np
import tensorflow as tf

from stn_tf.geometry import affine_grid


def sampler_cases(kernel: str, padding: str, align_corners: bool) -> dict[str, np.ndarray]:
    """Returns grids `[1, h, w, 2]` by name, for a 4 x 8 image.

    Powers of two, so that half a pixel is exact in every arithmetic and ties round alike.
    """
    height, width = 4, 8
    dx, dy = (2 / (width - 1), 2 / (height - 1)) if align_corners else (2 / width, 2 / height)
    cosine, sine = np.cos(np.radians(140.0)), np.sin(np.radians(140.0))
    thetas = {
        "identity": [[1, 0, 0], [0, 1, 0]],
        "half-pixel shift": [[1, 0, dx / 2], [0, 1, -dy / 2]],
        "whole-pixel shift": [[1, 0, -dx], [0, 1, dy]],
        "rotation by 140 degrees": [[3 * cosine, -3 * sine, 0.1], [3 * sine, 3 * cosine, -0.2]],
    }
    grids = {
        name: affine_grid(
            tf.constant([theta], tf.float32), (height, width), align_corners=align_corners
        ).numpy()
        for name, theta in thetas.items()
    }
    one = np.nextafter(np.float32(1), np.float32(2))
    edges = np.array([-one, -1.0, 1.0, one, -1 - dx / 2, 1 + dx / 2, -1 - dx, 1 + dx])
    grids["exact border"] = _product(edges)
    grids["far outside"] = _product(np.array([-7.3, -2.6, 0.1, 3.3, 9.7]))
    if padding != "reflection":
        # Mirrors have no outside: a reflected infinity is some pixel, and any will do.
        grids["NaN, infinity and huge"] = _product(
            np.array([np.nan, np.inf, -np.inf, 1e9, -1e20, 3e38, 0.25])
        )
    if kernel == "nearest" and align_corners:
        del grids["half-pixel shift"]  # Sevenths are not exact: a tie may round either way.
    return grids


def sampler_images(height: int = 4, width: int = 8) -> np.ndarray:
    """Returns an image `[1, 4, 8, 2]` without two equal pixels."""
    return np.random.default_rng(1).uniform(size=(1, height, width, 2)).astype(np.float32)


def _product(points: np.ndarray) -> np.ndarray:
    """All pairs (x, y) of the points, `[1, n, n, 2]` float32."""
    return np.stack(np.meshgrid(points, points), axis=-1).astype(np.float32)[np.newaxis]
