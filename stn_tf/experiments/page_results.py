"""What the page says of the result: headline, curves, confusion and classes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stn_tf import plots
from stn_tf.experiments.evaluation import Evaluation, error_percent, interval_percent
from stn_tf.experiments.page_html import Cell, Share, escaped, paragraph, section, table
from stn_tf.experiments.survey import Survey

# More classes than this are no picture any more.
_MOST_IN_PICTURE = 40
_MOST_PAIRS = {True: 10, False: 30}  # Beside the picture, and without.
_MOST_ROWS = 1000
_INTERVAL = "The interval says where the error of ever more such images would lie."


def headline(
    report: Mapping[str, Any] | None, found: Survey, classes: Sequence[str], title: str
) -> str:
    """Returns the first thing that is seen."""
    tiles: list[tuple[str, str, str]] = []
    lines = []
    if found.confusion is not None:
        images, wrong = found.images, found.images - int(np.trace(found.confusion))
        low, high = interval_percent(wrong, images)
        tiles.append(
            (
                f"{found.split} error",
                f"{error_percent(found.confusion):.2f} %",
                f"of {images:,} images; 95 % interval {low:.1f} to {high:.1f} %",
            )
        )
        commonest = int(found.confusion.sum(axis=1).max())
        lines.append(
            f"{_INTERVAL} Always saying the commonest class would be wrong for "
            f"{100 * (1 - commonest / images):.1f} %."
        )
    if not found.images:
        lines.append("The data has neither test nor validation images: nothing was measured.")
    elif found.split != "test":
        lines.append(
            f"The data has no test images: the figures are those of the {found.split} images, by "
            "which the weights were chosen, and flatter the model."
        )
    if report is None:
        lines.append("The run is not complete.")
    else:
        tiles += _figures(report, found)
        if report["skipped_steps"]:
            lines.append(
                f"{report['skipped_steps']:,} steps were left out because they were no numbers."
            )
    shown = "\n".join(
        f'<div class="{"tile first" if not number else "tile"}"><span>{escaped(name)}</span>'
        f"<b>{escaped(value)}</b><small>{escaped(more)}</small></div>"
        for number, (name, value, more) in enumerate(tiles)
    )
    told = "\n".join(paragraph(line, "faint") for line in lines)
    return (
        f'<header>\n<h1>{escaped(title)}</h1>\n<div class="tiles">{shown}</div>\n{told}\n</header>'
    )


def _figures(report: Mapping[str, Any], found: Survey) -> list[tuple[str, str, str]]:
    tiles = []
    for name, value in (report["test"] or {}).items():
        tiles.append((f"test {name.replace('_', ' ')}", f"{value:.4g}", ""))
    if report["validation_error_percent"] is not None and found.split != "validation":
        validation = f"{report['validation_error_percent']:.2f} %"
        tiles.append(("validation error", validation, "by which weights are chosen"))
    chosen = report["chosen_step"]
    of = "" if chosen in (None, report["steps"]) else f"weights of step {chosen:,}"
    tiles.append(("steps", f"{report['steps']:,}", of))
    tiles.append(("time", duration(report["seconds"]), ""))
    wait = report["input_wait"]
    waited = "" if wait is None else f"input wait {100 * wait:.1f} %"
    tiles.append(("images a second", f"{report['images_per_second']:,.0f}", waited))
    replicas = f"{report['replicas']} replicas" if report["replicas"] > 1 else ""
    tiles.append(("parameters", f"{report['parameters']:,}", report["model"]))
    if report.get("device"):
        kind, _, name = report["device"].partition(", ")
        tiles.append(("device", kind, ", ".join(filter(None, (name, replicas)))))
    return tiles


def duration(seconds: float) -> str:
    """Returns a time in words of its size: `12 s`, `3 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def curves(metrics: Path, chosen_step: int | None) -> str:
    """Returns a figure for each loss and metric of `metrics.jsonl`."""
    records = read_metrics(metrics)
    figures = []
    for number, names in enumerate(plots.curve_panels(records).values()):
        own = [{k: r[k] for k in ("step", *names) if k in r} for r in records]
        figure = plots.curves_figure(own, chosen_step=chosen_step)
        figures.append(plots.figure_svg(figure, f"curve{'abcdef'[number]}"))
    return section("Curves", _figure_grid(figures), name="curves")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Returns the records of a `metrics.jsonl`; a line that was cut off is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "step" in record:
            records.append(record)
    return records


def confusion(found: Survey, classes: Sequence[str]) -> str:
    """Returns which classes are taken for which."""
    counts = found.confusion
    if counts is None:
        return ""
    figure = ""
    if len(classes) <= _MOST_IN_PICTURE:
        picture = plots.confusion_figure(counts, [_printable(name) for name in classes])
        # So that numbers and names can be read on a small screen, where it is moved about.
        least = f"--least:{max(30, 1.3 * len(classes)):.0f}rem"
        drawn = plots.figure_svg(picture, "confusion")
        figure = f'<div class="wide" style="{least}">{drawn}</div>'
    pairs = _confused_pairs(counts, _MOST_PAIRS[bool(figure)])
    rows: list[tuple[Cell, ...]] = [
        (classes[i], classes[j], int(counts[i, j]), Share(100 * counts[i, j] / counts[i].sum()))
        for i, j in pairs
    ]
    listed = ""
    if rows and len(classes) > 2:
        told = paragraph("Most often confused:")
        listed = told + table(("true class", "taken for", "images", "% of the class"), rows)
    return section("Confusion", figure, listed, name="confusion")


def _confused_pairs(counts: np.ndarray, most: int) -> list[tuple[int, int]]:
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    most = min(most, int(np.count_nonzero(wrong)))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    return [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)]


def class_table(found: Survey, classes: Sequence[str]) -> str:
    """Returns a row for each class, the worst first."""
    if found.confusion is None:
        return ""
    rows = Evaluation(0.0, found.confusion, tuple(classes)).per_class
    rows.sort(key=lambda row: (-row.error_percent, -row.images))
    told = [
        f"{found.images:,} images in {len(classes):,} classes, the class with the highest error "
        "first. Of few images, a single one changes much."
    ]
    if any(row.images == 0 for row in rows):
        told.append(f"{sum(row.images == 0 for row in rows):,} classes have no image.")
    if len(rows) > _MOST_ROWS:
        told.append(f"Only the first {_MOST_ROWS:,} are listed.")
    cells: list[tuple[Cell, ...]] = [
        (
            row.name,
            row.images,
            Share(row.error_percent) if row.images else None,
            row.precision_percent,
            row.taken_for,
        )
        for row in rows[:_MOST_ROWS]
    ]
    headings = ("class", "images", "error %", "precision %", "most often taken for")
    listed = table(headings, cells, sortable=True)
    return section("Classes", paragraph(" ".join(told)), listed, name="classes")


def _figure_grid(figures: Sequence[str]) -> str:
    return f'<div class="figures">{"".join(figures)}</div>' if figures else ""


def _printable(name: str) -> str:
    """A name that can be measured and drawn."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
