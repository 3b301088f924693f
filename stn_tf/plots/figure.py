"""A figure: made without pyplot, and written whole or not at all; the colours of all of them."""

import os
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK = "#20242c"
MUTED = "#6b7280"


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
