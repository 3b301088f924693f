"""The picture of images beside what training makes of them."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stn_tf.plots.figure import INK, MUTED, new_figure
from stn_tf.plots.panel import show_image

# Inches.
_CELL = 1.5
_LINE = 0.14
_BOTTOM = 0.2
# Characters of the title in an inch.
_DENSITY = 15
# More characters than this run into the next image.
_LONGEST = 24


def contact_sheet_figure(
    originals: Sequence[np.ndarray] | np.ndarray,
    versions: Sequence[Sequence[np.ndarray]] | np.ndarray,
    *,
    labels: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Draws one row for each image: first as evaluation sees it, then versions of it.

    Args:
        originals: R images `[height, width, channels]`, uint8 or floats in 0..1.
        versions: Of each as many others, such as `[R, V, height, width, channels]`.
        labels: The class of each, written over it.
        title: A line over all, which is broken where it is too long.

    Returns:
        The figure, for `save_figure`.

    Raises:
        ValueError: If there is no image, or the arguments differ in number.
    """
    rows = len(originals)
    if not rows:
        raise ValueError("`originals` must hold at least one image, but it is empty.")
    for name, values in (("versions", versions), ("labels", labels)):
        if values is not None and len(values) != rows:
            raise ValueError(
                f"`{name}` must have one item per image, {rows}, but it has {len(values)}."
            )
    columns = 1 + len(versions[0])
    for row in versions:
        if len(row) != columns - 1:
            raise ValueError(
                "`versions` must be as many of each image, but one has "
                f"{len(row)} and the first {columns - 1}."
            )
    height, width = originals[0].shape[:2]
    tall, wide = _CELL * max(height / width, 0.25) + 0.22, _CELL * columns + 0.2
    lines = textwrap.wrap(title, int(_DENSITY * wide))
    head = 0.1 + _LINE * len(lines)
    total = head + 0.4 + tall * rows + _BOTTOM
    figure = new_figure(wide, total)
    spec = figure.add_gridspec(
        rows, columns, left=0.012, right=0.988, wspace=0.05, hspace=0.16,
        bottom=_BOTTOM / total, top=1 - (head + 0.4) / total,
    )  # fmt: skip
    for number in range(rows):
        for column in range(columns):
            axes = figure.add_subplot(spec[number, column])
            show_image(axes, originals[number] if not column else versions[number][column - 1])
            if column == 0 and labels is not None:
                _write(axes, labels[number])
    for column, text in ((0, "as evaluation sees it"), (1, "as training sees it")):
        if column < columns:
            place = 0.012 + 0.976 * column / columns, 1 - (head + 0.1) / total
            figure.text(*place, text, fontsize=8, color=MUTED, ha="left", va="center")
    for number, line in enumerate(lines):
        place = 0.012, 1 - (0.05 + _LINE * number) / total
        text = line.replace("$", r"\$")
        figure.text(*place, text, fontsize=7.5, color=INK, ha="left", va="top")
    return figure


def _write(axes: Axes, text: str) -> None:
    short = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    # Names are no formulas, whatever signs they hold.
    axes.text(
        0.0, 1.02, short.replace("$", r"\$"), transform=axes.transAxes, fontsize=7.5, color=INK,
        weight="bold", ha="left", va="bottom",
    )  # fmt: skip
