"""The picture of a run: losses, errors and other figures by step."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from stn_tf.plots.figure import INK, LINE, MUTED, SERIES, new_figure

# What is no figure of the model.
_OTHERS = {
    "step",
    "learning_rate",
    "images_per_second",
    "input_wait",
    "skipped_steps",
}
_MOST_PANELS = 6
# More points than this run into each other: they are averaged.
_MOST_POINTS = 1000


def curves_figure(
    metrics: Sequence[Mapping[str, Any]], *, chosen_step: int | None = None
) -> Figure:
    """Draws every loss and every error of a run against its steps, and other metrics beside them.

    Args:
        metrics: Records with `step` and numbers, as `metrics.jsonl` has them. Names that contain
            `loss` go into the first panel, names that contain `error` into the second; each other
            metric has a panel with what validation says of it, up to six panels in all.
        chosen_step: Of the weights that were chosen; it is marked.

    Returns:
        The figure. Of more than 1,000 points a curve, neighbours are averaged.

    Raises:
        ValueError: If no record has a step with a figure.
    """
    panels = curve_panels(metrics)
    if not panels:
        raise ValueError("`metrics` must hold records with `step` and a loss or an error.")
    columns = min(len(panels), 2)
    rows = -(-len(panels) // columns)
    figure = new_figure(5.2 * columns, 3.4 * rows)
    places = np.ravel(figure.subplots(rows, columns, squeeze=False))
    for axes, (label, names) in zip(places, panels.items(), strict=False):
        _draw(axes, label, {name: _points(metrics, name) for name in names}, chosen_step)
    for axes in places[len(panels) :]:
        axes.remove()
    figure.set_layout_engine("tight")
    return figure


def curve_panels(metrics: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Returns the names of the curves by the label of their panel."""
    found: dict[str, list[str]] = {"loss": [], "error, %": []}
    for record in metrics:
        for name, value in record.items():
            if name in _OTHERS or "step" not in record or not isinstance(value, int | float):
                continue
            base = name.removeprefix("validation_").replace("_", " ")
            label = "loss" if "loss" in name else "error, %" if "error" in name else base
            if name not in found.setdefault(label, []):
                found[label].append(name)
    drawn = [label for label, names in found.items() if names]
    return {label: found[label] for label in drawn[:_MOST_PANELS]}


def _points(metrics: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """Steps and values, `[2, P]`."""
    points = [(r["step"], r[name]) for r in metrics if "step" in r and name in r]
    curve = np.array(points, np.float64).T
    if curve.shape[1] > _MOST_POINTS:
        pieces = np.array_split(curve, _MOST_POINTS, axis=1)
        curve = np.stack([piece.mean(axis=1) for piece in pieces], axis=1)
    return curve


def _draw(
    axes: Axes, label: str, curves: Mapping[str, np.ndarray], chosen_step: int | None
) -> None:
    for number, (name, curve) in enumerate(curves.items()):
        marker = "o" if curve.shape[1] < 30 else ""
        axes.plot(
            *curve, color=SERIES[number % len(SERIES)], lw=1.6, marker=marker, ms=3.5,
            label=name.replace("_", " "),
        )  # fmt: skip
    if label in ("loss", "error, %") and all((curve[1] > 0).all() for curve in curves.values()):
        axes.set_yscale("log")
        # 0.5 rather than 5 x 10^-1, and no labels between.
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    if chosen_step is not None:
        axes.axvline(chosen_step, color=MUTED, lw=1, ls=":", label=f"chosen: step {chosen_step:,}")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("step", color=MUTED)
    axes.set_ylabel(label.replace("$", r"\$"), color=MUTED)
    axes.grid(color=LINE, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, length=0, labelcolor=MUTED, which="both")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
