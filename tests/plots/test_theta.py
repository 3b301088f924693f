"""The picture of how theta is distributed."""

import numpy as np
import pytest

from stn_tf import plots


def test_histograms_count_every_number(rng) -> None:
    values = {"scale": rng.normal(1.0, 0.1, (50, 2)), "shift x": np.append(rng.random(49), np.nan)}
    figure = plots.theta_figure(values, identity={"scale": 1.0, "shift x": 7.0})
    scale, shift = figure.axes
    counts = [patch.get_data().values.sum() for patch in (*scale.patches, *shift.patches)]
    assert counts == [50, 50, 49]
    # What lies outside of the numbers is not marked.
    marks = [[line for line in axes.lines if line.get_linestyle() == ":"] for axes in figure.axes]
    assert [len(lines) for lines in marks] == [1, 0]
    title = shift.get_title(loc="left")
    assert (
        title
        == f"shift x: {np.nanmean(values['shift x']):.3g} ± {np.nanstd(values['shift x']):.2g}"
    )


def test_a_number_that_never_changes_is_drawn() -> None:
    figure = plots.theta_figure({"scale": np.full(5, 0.5)})
    (histogram,) = figure.axes[0].patches
    assert histogram.get_data().values.sum() == 5
    assert "0.5 ± 0" in figure.axes[0].get_title(loc="left")


def test_many_parameters_are_ranges(rng) -> None:
    values = {f"x{index}": rng.normal(index, 1.0, 200) for index in range(32)}
    (axes,) = plots.theta_figure(values, identity=dict.fromkeys(values, 0.0)).axes
    medians = axes.lines[0].get_ydata()
    np.testing.assert_allclose(medians, [np.median(value) for value in values.values()])


def test_exception_raised() -> None:
    for values in ({}, {"scale": np.zeros(0)}):
        with pytest.raises(ValueError, match="`values` must hold at least one parameter"):
            plots.theta_figure(values)
