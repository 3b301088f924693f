"""The picture of where the sampler reads each image, and of the straightened crops beside it."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from stn_tf.plots.figure import INK, MUTED, new_figure
from stn_tf.plots.panel import FRAME, POINTS, TOP, common_margin, draw_crop, draw_input

_RIGHT = "#15803d"
_WRONG = "#dc2626"
# More crops of one image than this are too small to see.
_MOST_CROPS = 4
_LONGEST = 34


def overlay_figure(
    images: Sequence[np.ndarray] | np.ndarray,
    corners: np.ndarray,
    crops: Sequence[np.ndarray] | np.ndarray,
    *,
    grids: np.ndarray | None = None,
    classes: Sequence[str] | None = None,
    probabilities: Sequence[float] | np.ndarray | None = None,
    labels: Sequence[str] | None = None,
    captions: Sequence[str] | None = None,
    columns: int | None = None,
) -> Figure:
    """Draws each image with the region that is read from it, and the crop beside it.

    The outline's upper edge has a colour of its own, in the image and around the crop. Of several
    crops an image, the first four are drawn.

    Convention: pixels of the image, (x, y), the centre of the first pixel being (0, 0).

    Args:
        images: N images `[height, width, channels]`, uint8 or floats in 0..1, of any sizes.
        corners: `[N, 4, 2]`: top left, top right, bottom right, bottom left of the crop; or
            `[N, K, 4, 2]` for several crops an image.
        crops: N crops, as the images, or N times K.
        grids: `[N, h, w, 2]` or `[N, K, h, w, 2]` sampling points; with them the outline follows
            curved edges.
        classes: The predicted class of each image, written over its crop.
        probabilities: The probability of that class, 0..1.
        labels: The true class of each image; colours the predictions right or wrong.
        captions: Other words over each crop, where there are no classes.
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
            "captions": captions,
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
    figure = new_figure(2.75 * columns, 1.55 * rows + 0.3)
    spec = figure.add_gridspec(
        rows, columns, left=0.012, right=0.988, wspace=0.07, hspace=0.22,
        bottom=0.3 / (1.55 * rows + 0.3), top=1 - 0.22 / (1.55 * rows + 0.3),
    )  # fmt: skip
    corners = np.asarray(corners)
    if corners.ndim == 3:
        corners, crops = corners[:, None], [np.asarray(crop)[None] for crop in crops]
        grids = None if grids is None else np.asarray(grids)[:, None]
    corners, crops = corners[:, :_MOST_CROPS], [several[:_MOST_CROPS] for several in crops]
    grids = None if grids is None else np.asarray(grids)[:, :_MOST_CROPS]
    margin = common_margin(images, corners if grids is None else grids)
    for index in range(count):
        pair = spec[divmod(index, columns)].subgridspec(1, 2, wspace=0.05)
        left = figure.add_subplot(pair[0])
        grid = None if grids is None else grids[index]
        draw_input(left, images[index], corners[index], grid, margin)
        side = math.ceil(math.sqrt(len(crops[index])))
        places = pair[1].subgridspec(-(-len(crops[index]) // side), side, wspace=0.1, hspace=0.1)
        for number, crop in enumerate(crops[index]):
            right = figure.add_subplot(places[divmod(number, side)])
            draw_crop(right, crop)
            if number:
                continue
            if classes is not None:
                _caption(
                    right,
                    classes[index],
                    None if probabilities is None else float(probabilities[index]),
                    None if labels is None else labels[index],
                )
            elif captions is not None:
                _write(right, _short(captions[index], _LONGEST), INK)
    _legend(figure, with_points=grids is not None)
    return figure


def _caption(axes: Axes, name: str, probability: float | None, label: str | None) -> None:
    text = _short(name, 18)
    if probability is not None:
        text += f"  {100 * probability:.1f} %"
    colour = INK
    if label is not None:
        colour = _RIGHT if label == name else _WRONG
        if label != name:
            text += f"  (is {label})"
    _write(axes, text, colour)


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _write(axes: Axes, text: str, colour: str) -> None:
    # Names are no formulas, whatever signs they hold.
    text = text.replace("$", r"\$")
    axes.text(
        0.0, 1.045, text, transform=axes.transAxes, fontsize=8.5, color=colour, weight="bold",
        ha="left", va="bottom",
    )  # fmt: skip


def _legend(figure: Figure, *, with_points: bool) -> None:
    marks = [
        Line2D([], [], color=FRAME, lw=2, label="region that is read"),
        Line2D([], [], color=TOP, lw=2.6, label="its upper edge"),
    ]
    if with_points:
        dots = Line2D([], [], ls="", marker="o", ms=4, mew=0, color=POINTS, label="sampling grid")
        marks.append(dots)
    figure.legend(
        handles=marks, loc="lower center", ncols=len(marks), frameon=False, fontsize=8.5,
        labelcolor=MUTED, borderaxespad=0.3, handlelength=1.6, columnspacing=2.2,
    )  # fmt: skip
