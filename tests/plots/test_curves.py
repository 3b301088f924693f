"""The curves that are drawn of a run's records."""

import numpy as np
import pytest

from stn_tf import plots

_METRICS = [
    {"step": 1, "loss": 2.0, "error_percent": 90.0, "learning_rate": 0.1, "input_wait": 0.2},
    {"step": 2, "loss": 1.0, "error_percent": 50.0, "accuracy": 0.5, "images_per_second": 9.0},
    {"step": 2, "validation_loss": 3.0, "validation_error_percent": 60.0},
    {"step": 2, "validation_accuracy": 0.25},
]


def test_curves_draw_every_loss_and_error() -> None:
    figure = plots.curves_figure(_METRICS)
    loss, error, accuracy = figure.axes
    np.testing.assert_array_equal(loss.lines[0].get_xydata(), [[1, 2.0], [2, 1.0]])
    assert [line.get_label() for line in loss.lines] == ["loss", "validation loss"]
    assert [line.get_label() for line in error.lines] == [
        "error percent",
        "validation error percent",
    ]
    np.testing.assert_array_equal(accuracy.lines[1].get_xydata(), [[2, 0.25]])
    assert accuracy.get_ylabel() == "accuracy"
    with pytest.raises(ValueError, match="`metrics` must hold records"):
        plots.curves_figure([{"step": 1, "learning_rate": 1.0}])


def test_panels_hold_what_belongs_together() -> None:
    assert plots.curve_panels(_METRICS) == {
        "loss": ["loss", "validation_loss"],
        "error, %": ["error_percent", "validation_error_percent"],
        "accuracy": ["accuracy", "validation_accuracy"],
    }
    many = [{"step": 1, **{f"metric_{index}": 1.0 for index in range(9)}}]
    assert len(plots.curve_panels(many)) == 6


def test_the_chosen_step_is_marked() -> None:
    figure = plots.curves_figure(_METRICS, chosen_step=1200)
    for axes in figure.axes:
        assert axes.lines[-1].get_label() == "chosen: step 1,200"
        assert set(axes.lines[-1].get_xdata()) == {1200}


def test_long_runs_are_averaged() -> None:
    loss = np.linspace(2.0, 1.0, 5000)
    figure = plots.curves_figure([{"step": i + 1, "loss": v} for i, v in enumerate(loss)])
    steps, values = figure.axes[0].lines[0].get_data()
    assert len(steps) == 1000
    np.testing.assert_allclose(values, loss.reshape(1000, 5).mean(axis=1))
