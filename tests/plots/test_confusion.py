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
