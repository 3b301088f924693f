"""The picture of a run: losses and errors by step."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from stn_tf.plots.figure import INK, MUTED, new_figure

_SERIES = ("#2563eb", "#ff8a1f", "#15803d", "#db2777", "#7c3aed", "#6b7280")


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
    figure = new_figure(5.2 * len(drawn), 3.4)
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
        axes.set_xlabel("step", color=MUTED)
        axes.set_ylabel(panels[key], color=MUTED)
        axes.grid(color="#e5e7eb", lw=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8, length=0, labelcolor=MUTED, which="both")
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    figure.set_layout_engine("tight")
    return figure
