"""The picture of which classes are taken for which."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from stn_tf.plots.figure import INK, MUTED, new_figure

# More names than this on a side run into each other.
_MOST_NAMES = 100
# From nothing, so that it lies on any ground.
_SHARES = LinearSegmentedColormap.from_list("shares", ["#2563eb00", "#2563ebff"])


def confusion_figure(confusion: np.ndarray, classes: Sequence[str]) -> Figure:
    """Draws how often each true class (row) was taken for each class (column).

    Args:
        confusion: `[K, K]` counts.
        classes: The K names.

    Returns:
        The figure; colours are shares of the row, numbers are counts (up to 20 classes), and names
        are there for up to 100.

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
    figure = new_figure(side + 1.9, side + 1.1)
    axes = figure.add_subplot()
    totals = confusion.sum(axis=1, keepdims=True)
    share = confusion / np.maximum(totals, 1)
    picture = axes.imshow(share, cmap=_SHARES, vmin=0.0, vmax=1.0)
    if size <= _MOST_NAMES:
        names = [name if len(name) <= 24 else f"{name[:23]}…" for name in classes]
        upright = max(map(len, names)) <= 3
        # Names are no formulas, whatever signs they hold.
        names = [name.replace("$", r"\$") for name in names]
        small: dict[str, Any] = {"fontsize": 8 if size <= 40 else 5, "color": INK}
        axes.set_xticks(range(size), names, rotation=0 if upright else 90, **small)
        axes.set_yticks(range(size), names, **small)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.set_xlabel("predicted", color=INK)
    axes.set_ylabel("true", color=INK)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if size <= 20:
        for row, column in zip(*np.nonzero(confusion), strict=True):
            axes.text(
                column, row, f"{confusion[row, column]:,}", ha="center", va="center", fontsize=8,
                color="white" if share[row, column] > 0.55 else INK,
            )  # fmt: skip
    total = confusion.sum()
    error = 100.0 * (1.0 - np.trace(confusion) / total) if total else float("nan")
    axes.set_title(f"{error:.2f} % of {total:,} images wrong", fontsize=11, color=INK, pad=10)
    bar = figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.03, format="{x:.0%}")
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=0, labelcolor=MUTED)
    figure.set_layout_engine("tight")
    return figure
