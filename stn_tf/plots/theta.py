"""The picture of what theta is, over many images."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stn_tf.plots.figure import INK, LINE, MUTED, SERIES, new_figure

# More than this are no histograms any more, but ranges side by side.
_MOST_HISTOGRAMS = 9
_BINS = 30
# Of a number that hardly varies, the least width that is drawn, as a part of it or at all.
_LEAST_WIDTH = 0.02


def theta_figure(
    values: Mapping[str, np.ndarray], *, identity: Mapping[str, float] | None = None
) -> Figure:
    """Draws how each parameter is distributed: a histogram each, or ranges of more than nine.

    Args:
        values: By the name of the parameter, `[M]` numbers, or `[M, K]` for K crops, each of which
            has a colour of its own. What is no finite number is left out.
        identity: What each is where nothing is transformed; it is marked.

    Returns:
        The figure.

    Raises:
        ValueError: If there are no parameters or no numbers.
    """
    columns = {name: _by_crop(value) for name, value in values.items()}
    if not columns or not all(len(v) for v in columns.values()):
        raise ValueError("`values` must hold at least one parameter with a number.")
    identity = identity or {}
    if len(columns) > _MOST_HISTOGRAMS:
        return _ranges(columns, identity)
    wide = min(len(columns), 3)
    high = -(-len(columns) // wide)
    figure = new_figure(2.9 * wide, 2.0 * high + 0.1)
    places = np.ravel(figure.subplots(high, wide, squeeze=False))
    for axes, (name, value) in zip(places, columns.items(), strict=False):
        _histogram(axes, name, value, identity.get(name))
    for axes in places[len(columns) :]:
        axes.remove()
    figure.set_layout_engine("tight")
    return figure


def _by_crop(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return values[:, None] if values.ndim == 1 else values


def _histogram(axes: Axes, name: str, values: np.ndarray, identity: float | None) -> None:
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    least = _LEAST_WIDTH * max(1.0, abs(low))
    if high - low < least:
        low, high = (low + high - least) / 2, (low + high + least) / 2
    edges = np.linspace(low, high, _BINS + 1)
    several = values.shape[1] > 1
    for crop in range(values.shape[1]):
        column = values[:, crop]
        counts, _ = np.histogram(column[np.isfinite(column)], edges)
        colour = SERIES[crop % len(SERIES)]
        axes.stairs(
            counts, edges, color=colour, fill=not several, alpha=1.0 if several else 0.85, lw=1.3
        )
    if identity is not None and low <= identity <= high:
        axes.axvline(identity, color=MUTED, lw=1, ls=":")
    mean, deviation = (finite.mean(), finite.std()) if len(finite) else (np.nan, np.nan)
    axes.set_title(f"{name}: {mean:.3g} ± {deviation:.2g}", fontsize=8.5, color=INK, loc="left")
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:g}")
    _quiet(axes)
    axes.axhline(0, color=LINE, lw=1)


def _ranges(columns: Mapping[str, np.ndarray], identity: Mapping[str, float]) -> Figure:
    """Of each parameter the median, and where nine of ten images lie."""
    figure = new_figure(8.7, 2.9)
    axes = figure.add_subplot()
    crops = next(iter(columns.values())).shape[1]
    places = np.arange(len(columns))
    for crop in range(crops):
        ends = [
            np.percentile(finite, [5, 50, 95]) if len(finite) else [np.nan] * 3
            for finite in (v[:, crop][np.isfinite(v[:, crop])] for v in columns.values())
        ]
        low, middle, high = np.array(ends).T
        at = places + (crop - (crops - 1) / 2) * 0.6 / crops
        colour = SERIES[crop % len(SERIES)]
        axes.vlines(at, low, high, color=colour, lw=2, alpha=0.6)
        axes.plot(at, middle, ls="", marker="o", ms=3.5, color=colour)
    if identity:
        axes.hlines(
            [identity.get(name, np.nan) for name in columns], places - 0.4, places + 0.4,
            color=MUTED, lw=1, ls=":",
        )  # fmt: skip
    axes.set_xticks(places, list(columns), rotation=90)
    axes.grid(color=LINE, lw=0.6, axis="y")
    axes.set_axisbelow(True)
    _quiet(axes)
    figure.set_layout_engine("tight")
    return figure


def _quiet(axes: Axes) -> None:
    axes.tick_params(labelsize=7.5, length=0, labelcolor=MUTED)
    for spine in axes.spines.values():
        spine.set_visible(False)
