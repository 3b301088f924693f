"""One image on its axes: an input with the outline and the points, or a crop in its frame."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

FRAME = "#ff8a1f"  # the crop's outline, in the input and around the crop
TOP = "#ff3d81"  # its upper edge, so that rotations and flips can be seen
POINTS = "#35d0f2"  # where the sampler reads
_OUTSIDE = "#20242c"

# More sampling points than this on a side run into each other in a picture.
MOST_POINTS = 14
# How far outside the image, in parts of its size, outlines are still shown.
_MOST_MARGIN = 0.3


def common_margin(images: Sequence[np.ndarray] | np.ndarray, points: np.ndarray) -> float:
    """How far, in parts of an image's side, points lie outside: one margin for all pictures."""
    margin = 0.03
    for image, xy in zip(images, points, strict=True):
        extent = np.array([image.shape[1], image.shape[0]])
        xy = np.asarray(xy).reshape(-1, 2)
        xy = xy[np.isfinite(xy).all(axis=1)]
        if len(xy):
            outside = np.maximum((-0.5 - xy) / extent, (xy - (extent - 0.5)) / extent)
            margin = max(margin, float(outside.max()) + 0.03)
    return min(margin, _MOST_MARGIN)


def draw_input(
    axes: Axes, image: np.ndarray, corners: np.ndarray, grid: np.ndarray | None, margin: float
) -> None:
    """Draws an image and what is read from it, once or several times.

    Convention: pixels of the image, (x, y), the centre of the first pixel being (0, 0).

    Args:
        axes: Where to draw.
        image: `[height, width, channels]`, uint8 or floats in 0..1.
        corners: `[K, 4, 2]`: top left, top right, bottom right, bottom left of each crop.
        grid: `[K, h, w, 2]` sampling points; with them the outlines follow curved edges.
        margin: How much is shown around the image, in parts of its sides.
    """
    height, width = image.shape[:2]
    show_image(axes, image)
    axes.set_facecolor(_OUTSIDE)
    axes.set_xlim(-0.5 - margin * width, width - 0.5 + margin * width)
    axes.set_ylim(height - 0.5 + margin * height, -0.5 - margin * height)
    axes.set_anchor("E")
    for index, frame in enumerate(corners):
        points = None if grid is None else grid[index]
        edge, top = outline(frame, points)
        axes.plot(*edge.T, color=FRAME, lw=1.8, solid_joinstyle="round", zorder=3)
        axes.plot(*top.T, color=TOP, lw=2.4, solid_capstyle="round", zorder=4)
        if points is not None:
            _draw_points(axes, points)


def draw_crop(axes: Axes, crop: np.ndarray) -> None:
    """Draws a crop, `[h, w, channels]`, in a frame of the outline's colours."""
    show_image(axes, crop)
    axes.set_anchor("W")
    height, width = crop.shape[:2]
    axes.add_patch(
        Rectangle((-0.5, -0.5), width, height, fill=False, ec=FRAME, lw=2.4, clip_on=False)
    )
    axes.plot(
        [-0.5, width - 0.5], [-0.5, -0.5], color=TOP, lw=2.8, clip_on=False,
        solid_capstyle="round", zorder=4,
    )  # fmt: skip


def outline(corners: np.ndarray, grid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the closed outline of a crop, and its upper edge alone.

    Args:
        corners: `[4, 2]`: top left, top right, bottom right, bottom left.
        grid: `[h, w, 2]` sampling points; with them it follows curved edges.

    Returns:
        Points `[M, 2]` each.
    """
    corners = np.asarray(corners)
    if grid is None:
        return np.concatenate([corners, corners[:1]]), corners[:2]
    grid = np.asarray(grid)
    edges = [grid[0], grid[:, -1], grid[-1, ::-1], grid[::-1, 0]]
    closed = [
        np.concatenate([corners[i : i + 1], edge, corners[[(i + 1) % 4]]])
        for i, edge in enumerate(_at_the_rim(edges, corners))
    ]
    return np.concatenate(closed), closed[0]


def _at_the_rim(edges: list[np.ndarray], corners: np.ndarray) -> list[np.ndarray]:
    """Moves the outer sampling points, half a pixel inside, out to the line of the corners."""
    moved = []
    for i, edge in enumerate(edges):
        part = np.linspace(0.0, 1.0, len(edge))[:, None]
        start, end = corners[i] - edge[0], corners[(i + 1) % 4] - edge[-1]
        moved.append((edge + (1 - part) * start + part * end)[1:-1])
    return moved


def thinned(grid: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """Returns at most `most` points a side of a grid `[h, w, 2]`, evenly spread: `[M, 2]`."""
    picks = [
        np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(int))
        for length in grid.shape[:2]
    ]
    return grid[np.ix_(*picks)].reshape(-1, 2)


def _draw_points(axes: Axes, grid: np.ndarray) -> None:
    points = thinned(grid)
    axes.plot(*points.T, ls="", marker="o", ms=1.7, mew=0, color=POINTS, alpha=0.85, zorder=2)


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Draws an image alone: `[height, width, channels]`, uint8 or floats in 0..1."""
    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = np.clip(image, 0.0, 1.0)
    top = 255 if image.dtype == np.uint8 else 1.0
    if image.ndim == 3 and image.shape[-1] not in (3, 4):
        image = image[..., 0]
    axes.imshow(image, cmap="gray", vmin=0, vmax=top, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
