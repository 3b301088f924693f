"""What is drawn of an image and its crop, and where."""

import numpy as np
import pytest

from stn_tf import plots


def test_overlay_draws_the_outline_and_the_grid() -> None:
    images = np.zeros((2, 10, 20, 1), np.float32)
    corners = np.array([[[1, 2], [8, 2], [8, 7], [1, 7]]] * 2, np.float32)
    columns, rows = np.meshgrid(np.linspace(1.5, 7.5, 4), np.linspace(2.5, 6.5, 3))
    grids = np.stack([np.stack([columns, rows], axis=-1)] * 2)
    crops = np.ones((2, 3, 4, 1), np.float32)
    figure = plots.overlay_figure(
        images, corners, crops, grids=grids, classes=["a", "b"], probabilities=[0.5, 1.0],
        labels=["a", "a"],
    )  # fmt: skip
    inputs, crops_drawn = figure.axes[::2], figure.axes[1::2]
    assert len(inputs) == len(crops_drawn) == 2
    outline = inputs[0].lines[0].get_xydata()
    for corner in corners[0]:
        assert np.abs(outline - corner).sum(axis=1).min() < 1e-6
    points = inputs[0].lines[-1].get_xydata()
    np.testing.assert_allclose(np.sort(points, axis=0), np.sort(grids[0].reshape(-1, 2), axis=0))
    assert [axes.texts[0].get_text() for axes in crops_drawn] == ["a  50.0 %", "b  100.0 %  (is a)"]


def test_overlay_draws_at_most_four_crops_an_image() -> None:
    corners = np.zeros((2, 6, 4, 2), np.float32)
    corners[..., 2:, 1] = 3.0
    corners[..., 1:3, 0] = np.arange(1, 7)[:, None]
    crops = np.linspace(0, 1, 12).reshape(2, 6, 1, 1, 1) * np.ones((3, 4, 1))
    figure = plots.overlay_figure(
        np.zeros((2, 10, 20, 1)), corners, crops, captions=["$5 a_b", "two"]
    )
    assert len(figure.axes) == 2 * (1 + 4)
    first = figure.axes[0]
    assert [line.get_xydata()[1, 0] for line in first.lines[::2]] == [1, 2, 3, 4]
    shown = [axes.images[0].get_array()[0, 0] for axes in figure.axes[6:]]
    np.testing.assert_allclose(shown, crops[1, :4, 0, 0, 0])
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["\\$5 a_b", "two"]


def test_overlay_exception_raised() -> None:
    with pytest.raises(ValueError, match="`images` must hold at least one image"):
        plots.overlay_figure([], np.zeros((0, 4, 2)), [])
    with pytest.raises(ValueError, match="`crops` must have one item per image, 2, but it has 1"):
        plots.overlay_figure(np.zeros((2, 4, 4, 1)), np.zeros((2, 4, 2)), np.zeros((1, 4, 4, 1)))
