"""The curves that are drawn of a run's records."""

import numpy as np
import pytest

from stn_tf import plots


def test_curves_draw_every_loss_and_error() -> None:
    metrics = [
        {"step": 1, "loss": 2.0, "error_percent": 90.0},
        {"step": 2, "loss": 1.0, "error_percent": 50.0, "validation_error_percent": 60.0},
    ]
    figure = plots.curves_figure(metrics)
    loss, error = figure.axes
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), [2.0, 1.0])
    assert len(error.lines) == 2
    with pytest.raises(ValueError, match="`metrics` must hold records"):
        plots.curves_figure([{"step": 1}])
