"""Pictures of what a spatial transformer does. Figures only: no pyplot, no window, no global state.

overlay_figure      where the sampler reads each image, and the straightened crop beside it
confusion_figure    which classes are taken for which
curves_figure       a run's loss and error by step
save_figure         writes any of them, whole or not at all
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter

_FRAME = "#ff8a1f"  # the crop's outline, in the input and around the crop
_TOP = "#ff3d81"  # its upper edge, so that rotations and flips can be seen
_POINTS = "#35d0f2"  # where the sampler reads
_OUTSIDE = "#20242c"
_INK = "#20242c"
_MUTED = "#6b7280"
_RIGHT = "#15803d"
_WRONG = "#dc2626"
_SERIES = ("#2563eb", "#ff8a1f", "#15803d", "#db2777", "#7c3aed", "#6b7280")

# More sampling points than this on a side run into each other in a picture.
_MOST_POINTS = 14
# How far outside the image, in parts of its size, outlines are still shown.
_MOST_MARGIN = 0.3


def overlay_figure(
    images: Sequence[np.ndarray] | np.ndarray,
    corners: np.ndarray,
    crops: Sequence[np.ndarray] | np.ndarray,
    *,
    grids: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    probabilities: Sequence[float] | np.ndarray | None = None,
    labels: Sequence[str] | None = None,
    columns: int | None = None,
) -> Figure:
    """Draws each image with the region that is read from it, and the crop beside it.

    The outline's upper edge has a colour of its own, in the image and around the crop.

    Convention: pixels of the image, (x, y), the centre of the first pixel being (0, 0).

    Args:
        images: N images `[height, width, channels]`, uint8 or floats in 0..1, of any sizes.
        corners: `[N, 4, 2]`: top left, top right, bottom right, bottom left of the crop.
        crops: N crops, as the images.
        grids: `[N, h, w, 2]` sampling points; with them the outline follows curved edges.
        classes: The predicted class of each image, written over its crop.
        probabilities: The probability of that class, 0..1.
        labels: The true class of each image; colours the predictions right or wrong.
        columns: Pairs side by side; by default at most 5.

    Returns:
        The figure, for `save_figure`.

    Raises:
        ValueError: If the arguments are empty or differ in number.
    """
    count = len(images)
    counts = {
        name: len(values)
        for name, values in {
            "corners": corners,
            "crops": crops,
            "grids": grids,
            "classes": classes,
            "probabilities": probabilities,
            "labels": labels,
        }.items()
        if values is not None
    }
    if count == 0:
        raise ValueError("`images` must hold at least one image, but it is empty.")
    for name, length in counts.items():
        if length != count:
            raise ValueError(
                f"`{name}` must have one item per image, {count}, but it has {length}."
            )
    columns = columns or min(count, 5)
    rows = -(-count // columns)
    figure = _figure(2.75 * columns, 1.55 * rows + 0.3)
    spec = figure.add_gridspec(
        rows, columns, left=0.012, right=0.988, wspace=0.07, hspace=0.22,
        bottom=0.3 / (1.55 * rows + 0.3), top=1 - 0.22 / (1.55 * rows + 0.3),
    )  # fmt: skip
    margin = _margin(images, corners if grids is None else grids)
    for index in range(count):
        pair = spec[divmod(index, columns)].subgridspec(1, 2, wspace=0.05)
        outline, top = _outline(corners[index], None if grids is None else grids[index])
        left = figure.add_subplot(pair[0])
        _draw_input(left, images[index], outline, top, margin)
        if grids is not None:
            _draw_points(left, grids[index])
        right = figure.add_subplot(pair[1])
        _draw_crop(right, crops[index])
        if classes is not None:
            _caption(
                right,
                classes[index],
                None if probabilities is None else float(probabilities[index]),
                None if labels is None else labels[index],
            )
    _legend(figure, with_points=grids is not None)
    return figure


def confusion_figure(confusion: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draws how often each true class (row) was taken for each class (column).

    Args:
        confusion: `[K, K]` counts.
        classes: The K names.

    Returns:
        The figure; colours are shares of the row, numbers are counts (up to 20 classes).

    Raises:
        ValueError: If the shape does not fit the classes.
    """
    confusion = np.asarray(confusion)
    size = len(classes)
    if confusion.shape != (size, size):
        raise ValueError(
            f"`confusion` must have shape [{size}, {size}], one row and column per class, "
            f"but it has shape {list(confusion.shape)}."
        )
    side = min(max(0.46 * size, 3.2), 14.0)
    figure = _figure(side + 1.9, side + 1.1)
    axes = figure.add_subplot()
    totals = confusion.sum(axis=1, keepdims=True)
    share = confusion / np.maximum(totals, 1)
    picture = axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    names = [name if len(name) <= 24 else f"{name[:23]}…" for name in classes]
    upright = max(map(len, names)) <= 3
    small: dict[str, Any] = {"fontsize": 8 if size <= 40 else 5, "color": _INK}
    axes.set_xticks(range(size), names, rotation=0 if upright else 90, **small)
    axes.set_yticks(range(size), names, **small)
    axes.set_xlabel("predicted", color=_INK)
    axes.set_ylabel("true", color=_INK)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if size <= 20:
        for row, column in zip(*np.nonzero(confusion), strict=True):
            axes.text(
                column, row, f"{confusion[row, column]:,}", ha="center", va="center", fontsize=8,
                color="white" if share[row, column] > 0.55 else _INK,
            )  # fmt: skip
    total = confusion.sum()
    error = 100.0 * (1.0 - np.trace(confusion) / total) if total else float("nan")
    axes.set_title(f"{error:.2f} % of {total:,} images wrong", fontsize=11, color=_INK, pad=10)
    bar = figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.03, format="{x:.0%}")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=0, labelcolor=_MUTED)
    figure.set_layout_engine("tight")
    return figure


def curves_figure(metrics: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws every loss and every error of a run against its steps.

    Args:
        metrics: Records with `step` and numbers, as `metrics.jsonl` has them. Names that contain
            `loss` go into the left panel, names that contain `error` into the right one.

    Returns:
        The figure.

    Raises:
        ValueError: If no record has a step with a loss or an error.
    """
    panels = {"loss": "loss", "error": "error, %"}
    names: dict[str, list[str]] = {key: [] for key in panels}
    for record in metrics:
        for name, value in record.items():
            for key in panels:
                if key in name and isinstance(value, int | float) and name not in names[key]:
                    names[key].append(name)
    drawn = [key for key in panels if names[key] and any("step" in record for record in metrics)]
    if not drawn:
        raise ValueError("`metrics` must hold records with `step` and a loss or an error.")
    figure = _figure(5.2 * len(drawn), 3.4)
    for axes, key in zip(
        np.ravel(figure.subplots(1, len(drawn), squeeze=False)), drawn, strict=True
    ):
        for colour, name in zip(_SERIES * len(names[key]), names[key], strict=False):
            points = [(r["step"], r[name]) for r in metrics if "step" in r and name in r]
            marker = "o" if len(points) < 30 else ""
            axes.plot(
                *zip(*points, strict=True), color=colour, lw=1.6, marker=marker, ms=3.5,
                label=name.replace("_", " "),
            )  # fmt: skip
        if all(r[name] > 0 for r in metrics for name in names[key] if name in r):
            axes.set_yscale("log")
            # 0.5 rather than 5 x 10^-1, and no labels between.
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("step", color=_MUTED)
        axes.set_ylabel(panels[key], color=_MUTED)
        axes.grid(color="#e5e7eb", lw=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8, length=0, labelcolor=_MUTED, which="both")
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.legend(frameon=False, fontsize=9, labelcolor=_INK)
    figure.set_layout_engine("tight")
    return figure


def save_figure(figure: Figure, path: Path | str, *, dpi: int = 150) -> Path:
    """Writes a figure in the format of its extension, beside the file and then renamed to it.

    Raises:
        ValueError: If matplotlib does not write that format.
    """
    path = Path(path)
    form = path.suffix.lower().lstrip(".")
    known = figure.canvas.get_supported_filetypes()
    if form not in known:
        raise ValueError(
            f"`output` must end in .png, .svg, .pdf or another of matplotlib's formats, "
            f"but it is {str(path)!r}."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        figure.savefig(partial, format=form, dpi=dpi, facecolor=figure.get_facecolor())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _margin(images: Sequence[np.ndarray] | np.ndarray, points: np.ndarray) -> float:
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


def _outline(corners: np.ndarray, grid: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The closed outline of the crop, and its upper edge alone."""
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


def _show(axes: Axes, image: np.ndarray) -> None:
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


def _draw_input(
    axes: Axes, image: np.ndarray, outline: np.ndarray, top: np.ndarray, margin: float
) -> None:
    height, width = image.shape[:2]
    _show(axes, image)
    axes.set_facecolor(_OUTSIDE)
    axes.set_xlim(-0.5 - margin * width, width - 0.5 + margin * width)
    axes.set_ylim(height - 0.5 + margin * height, -0.5 - margin * height)
    axes.set_anchor("E")
    axes.plot(*outline.T, color=_FRAME, lw=1.8, solid_joinstyle="round", zorder=3)
    axes.plot(*top.T, color=_TOP, lw=2.4, solid_capstyle="round", zorder=4)


def _draw_points(axes: Axes, grid: np.ndarray) -> None:
    picks = [
        np.unique(np.linspace(0, length - 1, min(length, _MOST_POINTS)).round().astype(int))
        for length in grid.shape[:2]
    ]
    points = grid[np.ix_(*picks)].reshape(-1, 2)
    axes.plot(*points.T, ls="", marker="o", ms=1.7, mew=0, color=_POINTS, alpha=0.85, zorder=2)


def _draw_crop(axes: Axes, crop: np.ndarray) -> None:
    _show(axes, crop)
    axes.set_anchor("W")
    height, width = crop.shape[:2]
    axes.add_patch(
        Rectangle((-0.5, -0.5), width, height, fill=False, ec=_FRAME, lw=2.4, clip_on=False)
    )
    axes.plot(
        [-0.5, width - 0.5], [-0.5, -0.5], color=_TOP, lw=2.8, clip_on=False,
        solid_capstyle="round", zorder=4,
    )  # fmt: skip


def _caption(axes: Axes, name: str, probability: float | None, label: str | None) -> None:
    text = name if len(name) <= 18 else f"{name[:17]}…"
    if probability is not None:
        text += f"  {100 * probability:.1f} %"
    colour = _INK
    if label is not None:
        colour = _RIGHT if label == name else _WRONG
        if label != name:
            text += f"  (is {label})"
    axes.text(
        0.0, 1.045, text, transform=axes.transAxes, fontsize=8.5, color=colour, weight="bold",
        ha="left", va="bottom",
    )  # fmt: skip


def _legend(figure: Figure, *, with_points: bool) -> None:
    marks = [
        Line2D([], [], color=_FRAME, lw=2, label="region that is read"),
        Line2D([], [], color=_TOP, lw=2.6, label="its upper edge"),
    ]
    if with_points:
        dots = Line2D([], [], ls="", marker="o", ms=4, mew=0, color=_POINTS, label="sampling grid")
        marks.append(dots)
    figure.legend(
        handles=marks, loc="lower center", ncols=len(marks), frameon=False, fontsize=8.5,
        labelcolor=_MUTED, borderaxespad=0.3, handlelength=1.6, columnspacing=2.2,
    )  # fmt: skip
