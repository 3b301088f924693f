"""A figure: made without pyplot, and written whole or not at all; the colours of all of them."""

import io
import os
import re
import warnings
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK = "#20242c"
MUTED = "#6b7280"
LINE = "#e5e7eb"
# Of curves, crops and whatever else there are several of.
SERIES = ("#2563eb", "#ff8a1f", "#15803d", "#db2777", "#7c3aed", "#0891b2")

# What a page that is light or dark has in the place of a figure's own colours.
_THEME = {INK: "var(--ink)", MUTED: "var(--faint)", LINE: "var(--line)"}
_TAG = re.compile(r"<[^>]*>")
_FONT = re.compile(r"'DejaVu Sans'[^;\"]*")
_REFERENCE = re.compile(r'(\bid="|\bhref="#|url\(#)')


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure, width and height in inches."""
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
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


def figure_svg(figure: Figure, name: str) -> str:
    """Returns a figure as an `<svg>` for a page, which gives it its colours and its fonts.

    The page has the variables `--ink`, `--faint` and `--line`. The same figure gives the same text.

    Args:
        figure: The figure; its ground is left out.
        name: Of letters; no other figure of the page has it.
    """
    buffer = io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "stn-tf"}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # The reader's fonts draw it; matplotlib's only measure.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Its rule would hold for the whole page.
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    text = text.replace("<svg", '<svg style="stroke-linejoin: round"', 1)
    # Names of classes stand between the tags.
    return _TAG.sub(lambda tag: _for_page(tag.group(), name), text)


def _for_page(tag: str, name: str) -> str:
    # All figures of a page share one room of names.
    tag = _REFERENCE.sub(rf"\1{name}-", tag)
    for colour, variable in _THEME.items():
        tag = tag.replace(colour, variable)
    return _FONT.sub("var(--font)", tag)
