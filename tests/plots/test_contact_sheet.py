"""The picture of images beside what training makes of them."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from stn_tf import plots


def _shown(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


@pytest.mark.parametrize("channels", [1, 3])
def test_each_row_is_an_image_and_its_versions(rng, tmp_path, channels):
    originals = rng.integers(0, 256, (2, 20, 30, channels), dtype=np.uint8)
    versions = rng.random((2, 3, 20, 30, channels), np.float32)
    figure = plots.contact_sheet_figure(
        originals, versions, labels=["a $name$", "b" * 40], title="flip $x$, " * 40
    )
    shown = _shown(figure)
    assert len(shown) == 8
    for row in range(2):
        pictures = [originals[row], *versions[row]]
        for seen, expected in zip(shown[4 * row : 4 * row + 4], pictures, strict=True):
            np.testing.assert_array_equal(seen, expected.squeeze())
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == [r"a \$name\$", "b" * 23 + "…"]
    assert plots.save_figure(figure, tmp_path / "sheet.png").stat().st_size > 1000


def test_exception_raised(rng):
    images = rng.random((2, 8, 8, 3), np.float32)
    versions = rng.random((2, 3, 8, 8, 3), np.float32)
    with pytest.raises(ValueError, match="`originals` must hold at least one image"):
        plots.contact_sheet_figure(images[:0], versions[:0])
    with pytest.raises(ValueError, match="`versions` must have one item per image, 2, but it ha"):
        plots.contact_sheet_figure(images, versions[:1])
    with pytest.raises(ValueError, match="`labels` must have one item per image, 2, but it has 1"):
        plots.contact_sheet_figure(images, versions, labels=["a"])
    with pytest.raises(ValueError, match="one has 2 and the first 3"):
        plots.contact_sheet_figure(images, [versions[0], versions[1][:2]])
