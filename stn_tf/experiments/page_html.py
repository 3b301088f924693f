"""Pieces of the page: everything that becomes part of it is escaped here."""

import base64
import dataclasses
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

# Images of fewer pixels a side are kept exactly, and drawn with visible pixels.
FEW_PIXELS = 100
_MOST_PIXELS = 320
_QUALITY = 85


@dataclasses.dataclass(frozen=True)
class Share:
    """A percentage in a table, with a bar."""

    percent: float


Cell = str | int | float | Share | None


def escaped(value: object) -> str:
    """Returns text for any place in the page; what cannot be written is replaced."""
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return html.escape("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text))


def section(title: str, *parts: str, name: str) -> str:
    """Returns a part of the page under a heading; nothing where it is empty."""
    inside = "\n".join(part for part in parts if part)
    if not inside:
        return ""
    return f'<section id="{name}">\n<h2>{escaped(title)}</h2>\n{inside}\n</section>'


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escaped(text)}</p>' if kind else f"<p>{escaped(text)}</p>"


def folded(title: str, inside: str) -> str:
    """Returns what opens when its title is clicked on."""
    return f"<details><summary>{escaped(title)}</summary>\n{inside}\n</details>"


def code(text: str) -> str:
    return f"<pre><code>{escaped(text)}</code></pre>"


def table(
    headings: Sequence[str], rows: Iterable[Sequence[Cell]], *, sortable: bool = False
) -> str:
    """Returns a table; numbers stand on the right, and sort as numbers where it is sortable."""
    listed = [tuple(row) for row in rows]
    right = [
        bool(column) and all(cell is None or type(cell) in (int, float) for cell in column)
        for column in zip(*listed, strict=True)
    ] or [False] * len(headings)
    head = "".join(
        f'<th scope="col"{" class=number" if numbers else ""}>{escaped(heading)}</th>'
        for heading, numbers in zip(headings, right, strict=True)
    )
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in listed)
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="scroll"><table{kind}>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _cell(value: Cell) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, str):
        return f"<td>{escaped(value)}</td>"
    if isinstance(value, Share):
        percent = value.percent
        style = f"--share:{min(max(percent, 0.0), 100.0):.1f}%"
        return f'<td class="share" data-value="{percent:.6g}" style="{style}">{percent:.1f}</td>'
    shown = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return f'<td class="number" data-value="{value:.6g}">{shown}</td>'


def picture_source(image: np.ndarray) -> str:
    """Returns an image `[H, W, 1 or 3]` in 0..1 as the address of itself, at most 320 pixels."""
    pixels = np.rint(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.thumbnail((_MOST_PIXELS, _MOST_PIXELS))
    few = max(picture.size) < FEW_PIXELS
    buffer = io.BytesIO()
    if few:
        picture.save(buffer, "PNG", optimize=True)
    else:
        picture.save(buffer, "JPEG", quality=_QUALITY)
    content = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{'png' if few else 'jpeg'};base64,{content}"
