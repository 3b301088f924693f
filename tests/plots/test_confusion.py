"""The counts that the picture shows."""

import numpy as np
import pytest

from stn_tf import plots


def test_confusion_shows_the_counts() -> None:
    figure = plots.confusion_figure(np.array([[8, 2], [0, 10]]), ["cat", "dog"])
    axes = figure.axes[0]
    assert {text.get_text() for text in axes.texts} == {"8", "2", "10"}
    assert axes.get_title() == "10.00 % of 20 images wrong"
    with pytest.raises(ValueError, match="`confusion` must have shape"):
        plots.confusion_figure(np.zeros((2, 3)), ["cat", "dog"])


def test_names_are_no_formulas() -> None:
    figure = plots.confusion_figure(np.eye(2), ["$x_1$", "b"])
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == [r"\$x_1\$", "b"]
    figure.draw_without_rendering()


def test_a_thousand_classes_have_no_names() -> None:
    figure = plots.confusion_figure(
        np.eye(1000, dtype=int), [f"class {index}" for index in range(1000)]
    )
    axes = figure.axes[0]
    assert not axes.get_xticklabels()
    assert axes.get_title() == "0.00 % of 1,000 images wrong"
