"""What the page says of the transformers: what theta is, and how much they read outside."""

from collections.abc import Sequence

import numpy as np

from stn_tf import plots
from stn_tf.experiments.page_html import Cell, escaped, paragraph, section, table
from stn_tf.experiments.page_pictures import cards
from stn_tf.experiments.survey import Survey, TransformerSurvey
from stn_tf.experiments.theta_parts import ThetaPart, hardly_varies, theta_parts
from stn_tf.plots.figure import SERIES

_CONVENTION = (
    "Theta maps the crop to the image, both from -1 to 1: a scale below 1 zooms in, a positive "
    "rotation turns the window clockwise, a shift of 1 is half the image. Dotted: the identity."
)
# More parameters than this are one picture.
_MOST_SINGLE = 9
# Of fewer images, theta may be alike by chance.
_ENOUGH = 10


def transformers(found: Survey, classes: Sequence[str]) -> str:
    """Returns a part for all transformers of a model; nothing where there are none."""
    if not found.transformers:
        return ""
    parts = [_of_images(found)]
    for number, transformer in enumerate(found.transformers):
        parts.append(_transformer(transformer, number, len(found.transformers)))
    rows: list[tuple[Cell, ...]] = [
        (
            transformer.name,
            100 * float(transformer.outside.mean()),
            ", ".join(f"{100 * share:.1f}" for share in transformer.outside),
            transformer.mostly_outside,
        )
        for transformer in found.transformers
    ]
    headings = ["transformer", "points outside %", "of each crop %", "images with more than half"]
    if all(len(transformer.outside) == 1 for transformer in found.transformers):
        headings.pop(2)
        rows = [(*row[:2], row[3]) for row in rows]
    parts += [
        "<h3>Points outside of the image</h3>",
        paragraph(
            "A transformer may look past the image's edge. If it does so much, the image is lost."
        ),
        table(headings, rows),
    ]
    if pictures := cards(found.outside, classes):
        most = any(example.outside > 0 for example in found.outside)
        what = "The images of which most was read outside:" if most else "Some images:"
        parts += [paragraph(what), pictures]
    return section("Where it looks", *parts, name="transformers")


def _of_images(found: Survey) -> str:
    kept, images = len(found.transformers[0].thetas), found.images
    drawn = f"{kept:,} of the {images:,}" if kept < images else f"all {images:,}"
    by_chance = ", drawn at random" if kept < images else ""
    return paragraph(f"Over {drawn} {found.split} images{by_chance}. {_CONVENTION}")


def _transformer(transformer: TransformerSurvey, number: int, count: int) -> str:
    parts = theta_parts(transformer.transform, transformer.thetas)
    crops = transformer.thetas.shape[1]
    title = f"{transformer.name}: {transformer.transform.name}"
    if crops > 1:
        title += f", {crops} crops"
    lines = [f"<h3>{escaped(title)}</h3>"]
    if crops > 1:
        marks = "".join(
            f'<span><i style="background:{SERIES[k % len(SERIES)]}"></i>crop {k + 1}</span>'
            for k in range(min(crops, len(SERIES)))
        )
        lines.append(f'<p class="marks">{marks}</p>')
    if len(transformer.thetas) >= _ENOUGH and hardly_varies(parts):
        lines.append(paragraph("It does nearly the same to every image.", "notice"))
    name = f"theta{'abcdefghijklmnopqrstuvwxyz'[number % 26]}"
    figures = [
        plots.figure_svg(plots.theta_figure(_values(some), identity=_still(some)), f"{name}{index}")
        for index, some in enumerate(_pieces(parts))
    ]
    kind = "wide" if len(parts) > _MOST_SINGLE else "small figures"
    return "\n".join([*lines, f'<div class="{kind}">{"".join(figures)}</div>'])


def _pieces(parts: list[ThetaPart]) -> list[list[ThetaPart]]:
    """What is a figure of its own."""
    return [parts] if len(parts) > _MOST_SINGLE else [[part] for part in parts]


def _values(parts: list[ThetaPart]) -> dict[str, np.ndarray]:
    return {part.name: part.values for part in parts}


def _still(parts: list[ThetaPart]) -> dict[str, float]:
    return {part.name: part.identity for part in parts}
