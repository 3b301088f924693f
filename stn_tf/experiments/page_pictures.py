"""Single images on the page, with where the transformers look."""

from collections.abc import Sequence

import numpy as np

from stn_tf.experiments.examples import Example
from stn_tf.experiments.page_html import FEW_PIXELS, escaped, paragraph, picture_source
from stn_tf.experiments.views import View
from stn_tf.plots.figure import SERIES
from stn_tf.plots.panel import FRAME, common_margin, outline, thinned

# More crops of an image than this are too small to see.
_MOST_CROPS = 8
# Sampling points on a side, of one crop and of several.
_POINTS = 14, 7
_FLATTENED = (
    "A volume is drawn as its mean along depth, seen from the front, and so is a crop; its outline "
    "and points are those of its middle slice."
)
# Farther outside than so many sides of the image, a point is as good as there.
_FAR = 4.0


def cards(examples: Sequence[Example], classes: Sequence[str]) -> str:
    """Returns a card for each image that can be drawn."""
    seen = [example for example in examples if _is_drawn(example)]
    if not seen:
        return ""
    flattened = any(example.picture is not None and example.picture.flattened for example in seen)
    told = paragraph(_FLATTENED) + "\n" if flattened else ""
    drawn = "".join(_card(example, classes) for example in seen)
    return f'{told}<div class="cards">\n{drawn}</div>'


def _is_drawn(example: Example) -> bool:
    return example.picture is not None and (
        example.picture.image is not None or bool(example.picture.views)
    )


def _card(example: Example, classes: Sequence[str]) -> str:
    assert example.picture is not None
    image, views = example.picture.image, example.picture.views
    what = example.name or f"image {example.index:,}"
    parts = []
    if image is not None and not any(view.of_image for view in views):
        parts.append(f'<div class="whole">{_image(image, what)}</div>')
    for number, view in enumerate(views):
        told = ""
        if len(views) > 1 or not view.of_image:
            of = "" if view.of_image else ", which reads what layers before it make of the image"
            told = f'<p class="of">{escaped(f"transformer {number + 1}, {view.name}{of}")}</p>'
        parts.append(told + _look(view, what))
    caption = f"<figcaption>{_caption(example, classes, what)}</figcaption>"
    return f"<figure>\n{''.join(parts)}\n{caption}\n</figure>\n"


def _caption(example: Example, classes: Sequence[str], what: str) -> str:
    lines = []
    if example.predicted is not None and example.label is not None:
        right = example.predicted == example.label
        taken = (
            f'<b class="{"right" if right else "wrong"}">{escaped(classes[example.predicted])}</b>'
        )
        told = f"taken for {taken}, {100 * (example.probability or 0.0):.1f} %"
        lines.append(told if right else f"<b>{escaped(classes[example.label])}</b>, {told}")
    if example.outside >= 0.005 and example.picture is not None and example.picture.views:
        lines.append(f"{100 * example.outside:.0f} % of the points outside")
    lines.append(f'<span class="name">{escaped(what)}</span>')
    return "<br>".join(lines)


def _look(view: View, what: str) -> str:
    crops = view.crops[:_MOST_CROPS]
    colours = [SERIES[k % len(SERIES)] for k in range(len(crops))] if len(crops) > 1 else [FRAME]
    pictures = "".join(
        _image(crop, f"crop {k + 1} of {what}", f"border-color:{colours[k]}")
        for k, crop in enumerate(crops)
    )
    beside = f'<div class="{"crops many" if len(crops) > 2 else "crops"}">{pictures}</div>'
    return f'<div class="look">{_drawing(view, colours, what)}{beside}</div>'


def _drawing(view: View, colours: Sequence[str], what: str) -> str:
    """What a transformer reads, with the outlines of its crops and the points in them."""
    height, width = view.read.shape[:2]
    margin = common_margin([view.read], view.grids[None, :_MOST_CROPS])
    left, top = -0.5 - margin * width, -0.5 - margin * height
    box = f"{left:.2f} {top:.2f} {width * (1 + 2 * margin):.2f} {height * (1 + 2 * margin):.2f}"
    lines = []
    most = _POINTS[len(colours) > 1]
    for colour, corners, grid in zip(colours, view.corners, view.grids, strict=False):
        edge, upper = outline(corners, grid)
        lines += [
            f'<path class="points" d="{_dots(thinned(grid, most), view.read)}"/>',
            f'<path class="edge" style="stroke:{colour}" d="{_line(edge, view.read)}"/>',
            f'<path class="top" d="{_line(upper, view.read)}"/>',
        ]
    return (
        f'<svg viewBox="{box}" role="img" aria-label="{escaped(what)}">'
        f'<image x="-0.5" y="-0.5" width="{width}" height="{height}" preserveAspectRatio="none"'
        f'{_kind(view.read)} href="{picture_source(view.read)}"/>{"".join(lines)}</svg>'
    )


def _image(image: np.ndarray, what: str, style: str = "") -> str:
    styled = f' style="{style}"' if style else ""
    return f'<img{_kind(image)}{styled} alt="{escaped(what)}" src="{picture_source(image)}">'


def _kind(image: np.ndarray) -> str:
    return ' class="few"' if max(image.shape[:2]) < FEW_PIXELS else ""


def _line(points: np.ndarray, image: np.ndarray) -> str:
    return "M" + "L".join(_shown(points, image))


def _dots(points: np.ndarray, image: np.ndarray) -> str:
    return "".join(f"M{point}h0" for point in _shown(points, image))


def _shown(points: np.ndarray, image: np.ndarray) -> list[str]:
    """Points as text, within sight; those that are no numbers are left out."""
    extent = _FAR * np.array([image.shape[1], image.shape[0]])
    finite = points[np.isfinite(points).all(axis=-1)]
    return [f"{x:.1f} {y:.1f}" for x, y in np.clip(finite, -extent, extent)]
