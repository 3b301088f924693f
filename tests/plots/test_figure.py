"""A figure's file is whole or absent."""

from pathlib import Path

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
