"""Independent oracles in NumPy float64, written point by point from the definitions."""

import itertools
import math

import numpy as np


def to_pixels(point: float, size: int, align_corners: bool) -> float:
    if align_corners:
        return (point + 1) / 2 * (size - 1)
    return ((point + 1) * size - 1) / 2


def _mirror(position: float, size: int, align_corners: bool) -> float:
    """Reflects again and again until the position is inside."""
    low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
    if high <= low:
        return low
    while not low <= position <= high:
        position = 2 * low - position if position < low else 2 * high - position
    return position


def _weights(kernel: str, fraction: float) -> dict[int, float]:
    if kernel == "bilinear":
        return {0: 1 - fraction, 1: fraction}

    def keys(distance: float, a: float = -0.75) -> float:
        d = abs(distance)
        if d <= 1:
            return (a + 2) * d**3 - (a + 3) * d**2 + 1
        return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0

    return {offset: keys(fraction - offset) for offset in (-1, 0, 1, 2)}


def _axis_taps(
    point: float, size: int, kernel: str, padding: str, align_corners: bool
) -> list[tuple[int, float]]:
    position = to_pixels(point, size, align_corners)
    if not math.isfinite(position):
        if padding == "zeros":
            return []
        raise NotImplementedError("the definition of other paddings ends at finite points")
    if kernel == "nearest":
        position = float(np.rint(position))
    low, high = (0.0, size - 1.0) if align_corners else (-0.5, size - 0.5)
    if not low <= position <= high:
        if padding == "border":
            position = min(max(position, 0.0), size - 1.0)
        elif padding == "reflection":
            position = _mirror(position, size, align_corners)
    if kernel == "nearest":
        weights, base = {0: 1.0}, int(np.rint(position))
    else:
        base = math.floor(position)
        weights = _weights(kernel, position - base)
    taps = []
    for offset, weight in weights.items():
        index = base + offset
        if padding == "zeros" and not 0 <= index < size:
            continue
        if padding == "border":
            index = min(max(index, 0), size - 1)
        elif padding == "reflection":
            index = int(_mirror(index, size, align_corners))
        taps.append((index, weight))
    return taps


def grid_sample(
    images: np.ndarray, grid: np.ndarray, kernel: str, padding: str, align_corners: bool
) -> np.ndarray:
    """GridSample by its definition, channels last, 2-D or 3-D."""
    images, grid = images.astype(np.float64), grid.astype(np.float64)
    sizes = images.shape[1:-1]
    output = np.zeros((*grid.shape[:-1], images.shape[-1]))
    for where in np.ndindex(*grid.shape[:-1]):
        point = grid[where][::-1]  # The grid holds x first, the images y (or z) first.
        axes = [
            _axis_taps(coordinate, size, kernel, padding, align_corners)
            for coordinate, size in zip(point, sizes, strict=True)
        ]
        for taps in itertools.product(*axes):
            index = tuple(position for position, _ in taps)
            weight = math.prod(weight for _, weight in taps)
            output[where] += weight * images[(where[0], *index)]
    return output


def base_grid(size: tuple[int, ...], align_corners: bool) -> np.ndarray:
    """`[*size, d]`: the normalised place of each output pixel, x first."""
    grid = np.zeros((*size, len(size)))
    for where in np.ndindex(*size):
        for axis, (index, length) in enumerate(zip(where, size, strict=True)):
            if align_corners:
                place = -1 + 2 * index / (length - 1) if length > 1 else 0.0
            else:
                place = -1 + (2 * index + 1) / length
            grid[(*where, len(size) - 1 - axis)] = place
    return grid


def transform_points(transform: str, theta: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Maps points `[..., d]` by one theta, from the formulas of each family."""
    theta = np.asarray(theta, np.float64)
    x, y = points[..., 0], points[..., 1]
    if transform in ("affine", "affine-3d"):
        return points @ theta[:, :-1].T + theta[:, -1]
    if transform == "attention":
        return theta[0] * points + theta[1:]
    if transform == "similarity":
        scale, angle, tx, ty = theta
        turned = (x + 1j * y) * scale * np.exp(1j * angle) + complex(tx, ty)
        return np.stack([turned.real, turned.imag], axis=-1)
    if transform == "projective":
        a, b, c, d, e, f, g, h = theta
        depth = g * x + h * y + 1
        return np.stack([(a * x + b * y + c) / depth, (d * x + e * y + f) / depth], axis=-1)
    assert transform == "tps"
    from scipy.interpolate import RBFInterpolator

    k = math.isqrt(len(theta))
    line = np.linspace(-1, 1, k)
    control = np.array([(u, v) for v in line for u in line])
    spline = RBFInterpolator(control, theta, kernel="thin_plate_spline")
    return points + spline(points.reshape(-1, 2)).reshape(points.shape)


def grid(
    transform: str, theta: np.ndarray, size: tuple[int, ...], align_corners: bool
) -> np.ndarray:
    """`[N, *size, d]` for a batch of thetas."""
    base = base_grid(size, align_corners)
    return np.stack([transform_points(transform, one, base) for one in theta])


def spread_grids(
    transform: str,
    theta: np.ndarray,
    size: tuple[int, ...],
    input_size: tuple[int, ...],
    align_corners: bool,
    samples: int,
    width_theta: np.ndarray | None = None,
) -> np.ndarray:
    """`[samples ** d, N, *size, d]`: what `antialias` samples, by its definition.

    How much of their footprints pixels take is that of `width_theta`, where it is given.
    """
    base, d = base_grid(size, align_corners), len(size)
    lengths, inputs = np.array(size[::-1]), np.array(input_size[::-1])  # x first
    step = 2 / np.maximum(lengths - 1, 1) * (lengths > 1) if align_corners else 2 / lengths
    pixels = (inputs - 1) / 2 if align_corners else inputs / 2

    def changes(one: np.ndarray) -> list[np.ndarray]:
        corners = [
            (signs, transform_points(transform, one, base + step / 2 * signs))
            for signs in itertools.product((-1, 1), repeat=d)
        ]
        means = [sum(s[axis] * point for s, point in corners) / 2 ** (d - 1) for axis in range(d)]
        return means[::-1]  # The last sample along x is followed by the next along y.

    widths = theta if width_theta is None else width_theta
    images = []
    for one, width in zip(theta, widths, strict=True):
        spreads = []
        for change, wide in zip(changes(one), changes(width), strict=True):
            length = np.maximum(np.linalg.norm(wide * pixels, axis=-1, keepdims=True), 1)
            spreads.append(np.sqrt(1 - 1 / length**2) * change)
        centre = transform_points(transform, one, base)
        places = [(2 * index + 1 - samples) / (2 * samples) for index in range(samples)]
        images.append(
            [
                centre + sum(o * spread for o, spread in zip(offsets, spreads, strict=True))
                for offsets in itertools.product(places, repeat=d)
            ]
        )
    return np.swapaxes(np.array(images), 0, 1)
