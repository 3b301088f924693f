"""Where several crops start."""

import numpy as np
import pytest

import stn_tf
from stn_tf.models.localisation import initial_theta, tiles


def test_one_starts_at_the_identity() -> None:
    assert tiles(1) == [(1.0, 0.0, 0.0)]
    assert tiles(1, 0.5) == [(0.5, 0.0, 0.0)]
    np.testing.assert_array_equal(initial_theta("affine", 1)[0], stn_tf.identity())


def test_fixed_scale_tiles_to_the_edges() -> None:
    assert tiles(2, 0.5) == [(0.5, -0.5, 0.0), (0.5, 0.5, 0.0)]
    assert tiles(4, 0.5) == [(0.5, x, y) for y in (-0.5, 0.5) for x in (-0.5, 0.5)]
    assert tiles(3, 0.75) == [(0.75, -0.25, -0.25), (0.75, 0.25, -0.25), (0.75, 0.0, 0.25)]


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 9, 16])
def test_tiles_overlap_and_stay_inside(count: int) -> None:
    windows = np.array(tiles(count))
    assert len({tuple(window) for window in windows}) == count
    scale, centres = windows[:, 0], windows[:, 1:]
    assert np.abs(centres).max() + scale[0] == pytest.approx(1.0)
    # Somebody looks at every place of the middle line across.
    places = np.linspace(-1, 1, 101)
    row = windows[np.abs(windows[:, 2] - windows[0, 2]) < 1e-6]
    distance = np.abs(places[:, None] - row[:, 1])
    assert np.all(np.min(distance, axis=1) <= scale[0] + 1e-6)


@pytest.mark.parametrize("transformation", ["affine", "similarity", "attention"])
def test_theta_shows_the_tile(transformation: str) -> None:
    theta = initial_theta(transformation, 4, 0.5)
    assert theta.dtype == np.float32
    grid = {
        "affine": stn_tf.affine_grid,
        "similarity": stn_tf.similarity_grid,
        "attention": stn_tf.attention_grid,
    }[transformation](theta, (2, 2))
    # The four centres of pixels of a quarter.
    first = np.array([[[-0.75, -0.75], [-0.25, -0.75]], [[-0.75, -0.25], [-0.25, -0.25]]])
    shifts = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])[:, None, None]
    np.testing.assert_allclose(grid, first + shifts, atol=1e-6)
