"""Points and matrices that break samplers.

For images of 4 x 8 pixels and volumes of 2 x 4 x 8: powers of two, so that half a pixel is exact in
every arithmetic and ties round alike.
"""

import numpy as np

from stn_tf.export.sampler_spec import SamplerSpec
from stn_tf.geometry import get_transform

_SIZE = (2, 4, 8)


def sampler_images(dimensions: int) -> np.ndarray:
    """Returns an image `[1, 4, 8, 2]` or a volume `[1, 2, 4, 8, 2]` without two equal pixels."""
    shape = (1, *_SIZE[-dimensions:], 2)
    return np.random.default_rng(1).uniform(size=shape).astype(np.float32)


def sampler_cases(spec: SamplerSpec) -> dict[str, np.ndarray]:
    """Returns what a sampler takes beside the images, by name.

    Grids are `[1, ..., dimensions]`, affine matrices `[1, 2, 3]`, projective ones `[1, 8]`; the
    matrices are for an output of the images' size.
    """
    if spec.points == "affine":
        return _matrices(spec)
    if spec.points == "projective":
        return _homographies(spec)
    return _grids(spec)


def _steps(spec: SamplerSpec) -> np.ndarray:
    """The distance of neighbouring pixels in normalised coordinates: x, y(, z)."""
    sizes = np.array(_SIZE[::-1][: spec.dimensions])
    return 2 / (sizes - 1) if spec.align_corners else 2 / sizes


def _matrices(spec: SamplerSpec) -> dict[str, np.ndarray]:
    """Affine matrices `[1, 2, 3]`, or `[1, 3, 4]` for volumes."""
    axes = spec.dimensions
    steps = _steps(spec)
    signs = np.array([1, -1, 1])[:axes]
    cosine, sine = np.cos(np.radians(140.0)), np.sin(np.radians(140.0))
    rotation = 3 * np.eye(axes)
    rotation[:2, :2] = [[3 * cosine, -3 * sine], [3 * sine, 3 * cosine]]
    found = {
        "identity": (np.eye(axes), np.zeros(axes)),
        "half-pixel shift": (np.eye(axes), signs * steps / 2),
        "whole-pixel shift": (np.eye(axes), -signs * steps),
        "rotation by 140 degrees": (rotation, np.array([0.1, -0.2, 0.15])[:axes]),
    }
    if spec.kernel == "nearest" and spec.align_corners:
        del found["half-pixel shift"]  # Sevenths are not exact: a tie may round either way.
    return {
        name: np.column_stack([matrix, shift])[np.newaxis].astype(np.float32)
        for name, (matrix, shift) in found.items()
    }


def _homographies(spec: SamplerSpec) -> dict[str, np.ndarray]:
    last = np.zeros((1, 2), np.float32)
    found = {
        name: np.concatenate([matrix.reshape(1, 6), last], axis=1)
        for name, matrix in _matrices(spec).items()
    }
    found["perspective"] = np.array(
        [[0.95, 0.11, 0.23, -0.18, 1.03, 0.07, 0.21, -0.34]], np.float32
    )
    if spec.padding != "reflection":
        # The horizon lies between two columns, and half of the image behind it. (Mirrors bring
        # points back into the image from where float32 does not tell pixels apart.)
        found["horizon"] = np.array([[1, 0, 2, 0, 1, 2.5, 1.5, 0]], np.float32)
    return found


def _grids(spec: SamplerSpec) -> dict[str, np.ndarray]:
    axes = spec.dimensions
    family = get_transform("affine" if axes == 2 else "affine-3d")
    grids = {
        name: np.asarray(family.grid(theta, _SIZE[-axes:], align_corners=spec.align_corners))
        for name, theta in _matrices(spec).items()
    }
    dx = _steps(spec)[0]
    edges = [-1.0, 1.0, -1 - dx / 2, 1 + dx / 2, -1 - dx, 1 + dx]
    if (spec.kernel, spec.padding) != ("bicubic", "border"):
        # There the kernel jumps at the edge, and rounding may put a point on either side.
        one = np.nextafter(np.float32(1), np.float32(2))
        edges += [-one, one]
    grids["exact border"] = _product(np.array(edges), axes)
    grids["far outside"] = _product(np.array([-7.3, -2.6, 0.1, 3.3, 9.7]), axes)
    if spec.padding != "reflection":
        # Mirrors have no outside: a reflected infinity is some pixel, and any will do.
        odd = np.array([np.nan, np.inf, -np.inf, 1e9, -1e20, 3e38, 0.25])
        grids["NaN, infinity and huge"] = _product(odd, axes)
    return grids


def _product(points: np.ndarray, axes: int) -> np.ndarray:
    """All pairs or triples of the points, `[1, n, ..., axes]` float32."""
    return np.stack(np.meshgrid(*[points] * axes), axis=-1).astype(np.float32)[np.newaxis]
