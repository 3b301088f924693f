"""A figure's file is whole or absent."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from stn_tf import plots


def test_save_figure(tmp_path: Path) -> None:
    figure = plots.confusion_figure(np.eye(3), ["a", "b", "c"])
    path = plots.save_figure(figure, tmp_path / "new" / "figure.png")
    assert np.asarray(Image.open(path).convert("L")).std() > 10
    with pytest.raises(ValueError, match=r"`output` must end in \.png"):
        plots.save_figure(figure, tmp_path / "figure.xyz")
    assert [entry.name for entry in tmp_path.rglob("*.*")] == ["figure.png"]


def test_figure_svg_takes_the_page_s_colours_and_font() -> None:
    names = ['<b id="x">&', "$#20242c", "鸟"]
    svg = plots.figure_svg(plots.confusion_figure(np.eye(3), names), "one")
    root = ElementTree.fromstring(svg)
    assert {'<b id="x">&', "$#20242c", "鸟"} <= set(root.itertext())
    styles = [element.get("style", "") for element in root.iter()]
    assert not any("DejaVu" in style or "#20242c" in style for style in styles)
    assert any("fill: var(--ink)" in style and "var(--font)" in style for style in styles)
    assert not list(root.iter("{http://www.w3.org/2000/svg}style"))
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert ids
    assert all(text.startswith("one-") for text in ids)


def test_figure_svg_is_the_same_each_time() -> None:
    figures = [plots.confusion_figure(np.eye(3), ["a", "b", "c"]) for _ in range(2)]
    first, second = (plots.figure_svg(figure, "one") for figure in figures)
    assert first == second
    assert "http" not in first.replace("http://www.w3.org", "")
