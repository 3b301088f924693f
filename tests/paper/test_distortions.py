"""The distortions against NumPy and SciPy, with given and with drawn parameters."""

import dataclasses

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from stn_tf.paper import DISTORTIONS, canvas_size, distort, draw, load_source
from stn_tf.paper.distortions import _DISTORTIONS
from stn_tf.paper.perspective import Perspective
from tests import reference

PAPER_P = _DISTORTIONS["p"]
SIZE = (28, 28)
COUNT = 400


@pytest.fixture(scope="module")
def pool() -> np.ndarray:
    return load_source("digits").test.images[:40]


def drawn(distortion: str, seed: int = 0, count: int = COUNT) -> dict[str, np.ndarray]:
    parameters = draw(distortion, tf.constant([seed, 1], tf.int64), count, SIZE)
    return {name: value.numpy() for name, value in parameters.items()}


def apply(distortion: str, parameters: dict, pool: np.ndarray, indices: list[int]) -> np.ndarray:
    tensors = {name: tf.constant(value) for name, value in parameters.items()}
    return distort(distortion, tensors, tf.constant(pool), tf.constant(indices, tf.int64)).numpy()


def rotation(angle: float, scale: float = 1.0, shift: tuple = (0.0, 0.0)) -> dict:
    return {
        "angle": np.array([angle], np.float32),
        "scale": np.array([scale], np.float32),
        "shift": np.array([shift], np.float32),
    }


@pytest.mark.parametrize("quarters", [-1, 0, 1, 2])
def test_rotation_by_quarters_is_rot90(pool: np.ndarray, quarters: int) -> None:
    turned = apply("r", rotation(quarters * np.pi / 2), pool, [3])
    np.testing.assert_allclose(turned[0], np.rot90(pool[3], quarters) / 255.0, atol=1e-4)


def test_rts_moves_by_whole_pixels(pool: np.ndarray) -> None:
    moved = apply("rts", rotation(0.0, shift=(5.0, -3.0)), pool, [7])
    expected = np.zeros((42, 42, 1))
    expected[7 - 3 : 7 - 3 + 28, 7 + 5 : 7 + 5 + 28] = pool[7] / 255.0
    np.testing.assert_allclose(moved[0], expected, atol=1e-5)


def test_rts_equals_scipy(pool: np.ndarray) -> None:
    angle, scale, shift = 0.6, 0.8, (4.0, -2.5)
    warped = apply("rts", rotation(angle, scale, shift), pool, [5])[0, ..., 0]
    # (row, column) of the image that a pixel of the canvas reads.
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    matrix = np.array([[cosine, sine], [-sine, cosine]])
    centre = np.array([20.5 + shift[1], 20.5 + shift[0]])
    expected = scipy.ndimage.affine_transform(
        pool[5, ..., 0] / 255.0, matrix, 13.5 - matrix @ centre, (42, 42), order=1
    )
    np.testing.assert_allclose(warped, expected, atol=1e-4)


def test_r_parameters_are_the_papers() -> None:
    parameters = drawn("r")
    assert np.all(np.abs(parameters["angle"]) <= np.pi / 2)
    assert abs(np.mean(parameters["angle"])) < 0.15
    assert np.std(parameters["angle"]) == pytest.approx(np.pi / np.sqrt(12), rel=0.1)
    np.testing.assert_array_equal(parameters["scale"], np.ones(COUNT))
    np.testing.assert_array_equal(parameters["shift"], np.zeros((COUNT, 2)))


def test_rts_parameters_are_the_papers() -> None:
    parameters = drawn("rts")
    assert np.abs(parameters["angle"]).max() == pytest.approx(np.pi / 4, rel=0.05)
    assert np.abs(parameters["angle"]).max() <= np.pi / 4
    assert 0.7 <= parameters["scale"].min() < 0.72
    assert 1.18 < parameters["scale"].max() <= 1.2
    room = (42 - parameters["scale"] * 28) / 2
    share = parameters["shift"] / room[:, np.newaxis]
    assert np.all(np.abs(share) <= 1.0 + 1e-6)
    assert np.std(share) == pytest.approx(1 / np.sqrt(3), rel=0.1)


SQUARE = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def corner_areas(corners: np.ndarray) -> np.ndarray:
    """Signed areas of the triangles that three successive corners make."""
    before, after = np.roll(corners, 1, axis=1), np.roll(corners, -1, axis=1)
    u, v = after - corners, before - corners
    return (u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]) / 2


def test_p_scales_are_the_papers() -> None:
    assert isinstance(PAPER_P, Perspective)
    key = tf.constant([0, 1], tf.int64)
    still = dataclasses.replace(PAPER_P, deviation=0.0)
    scaled = (still.draw(key, COUNT, SIZE, SIZE)["corners"].numpy() - 13.5) / 14 / SQUARE
    scale = scaled[:, 0, 0]
    np.testing.assert_allclose(scaled, np.broadcast_to(scale[:, None, None], scaled.shape), 1e-5)
    assert 0.75 <= scale.min() < 0.76
    assert 0.99 < scale.max() <= 1.0
    assert np.std(scale) == pytest.approx(0.25 / np.sqrt(12), rel=0.1)


def test_p_moves_are_normal_but_never_fold() -> None:
    """Against NumPy's normal numbers, of which those are left out that fold the image."""
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.75, 1.0, (40_000, 1, 1))
    corners = 14 * scale * SQUARE + rng.normal(0.0, 5.0, (40_000, 4, 1)) * SQUARE
    usable = np.all(corner_areas(corners) >= 0.2 * (28 * scale[..., 0]) ** 2 / 2, axis=1)
    expected = corners[usable]
    actual = drawn("p", count=20_000)["corners"] - 13.5
    assert corner_areas(actual).min() > 0, "every quadrilateral is convex"
    np.testing.assert_allclose(actual[..., 0] * SQUARE[:, 0], actual[..., 1] * SQUARE[:, 1], 1e-4)
    np.testing.assert_allclose(actual.mean(axis=0), expected.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(actual.std(axis=0), expected.std(axis=0), rtol=0.03)
    np.testing.assert_allclose(
        np.quantile(actual[:, 2, 0], [0.05, 0.5, 0.95]),
        np.quantile(expected[:, 2, 0], [0.05, 0.5, 0.95]),
        atol=0.3,
    )


def test_p_puts_the_corners_where_they_were_drawn(pool: np.ndarray) -> None:
    corners = np.array([[[3.0, 1.0], [24.0, 4.0], [26.0, 25.0], [1.0, 22.0]]], np.float32)
    warped = apply("p", {"corners": corners}, pool, [2])[0]
    # The homography by its defining equations: image edges -> the corners.
    edges = np.array([[-0.5, -0.5], [27.5, -0.5], [27.5, 27.5], [-0.5, 27.5]])
    rows, values = [], []
    for (u, v), (x, y) in zip(edges, corners[0], strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    a, b, c, d, e, f, g, h = np.linalg.solve(rows, values)
    # Four points in each pixel, averaged.
    y, x = np.mgrid[-0.25:27.5:0.5, -0.25:27.5:0.5]
    depth = g * x + h * y + 1
    columns, lines = (a * x + b * y + c) / depth, (d * x + e * y + f) / depth
    expected = scipy.ndimage.map_coordinates(pool[2, ..., 0] / 255.0, [lines, columns], order=1)
    expected = expected.reshape(28, 2, 28, 2).mean(axis=(1, 3))
    # SciPy cuts off at the outer pixels' centres, where digits have no ink.
    np.testing.assert_allclose(warped[..., 0], expected, atol=1e-3)


def test_e_parameters_are_the_papers() -> None:
    parameters = drawn("e", count=2000)
    assert parameters["offsets"].shape == (2000, 16, 2)
    pixels = parameters["offsets"] * 28 / 2
    assert pixels.std() == pytest.approx(1.5, rel=0.03)
    assert abs(pixels.mean()) < 0.05
    assert 0.75 <= parameters["scale"].min() < 0.755
    assert 0.995 < parameters["scale"].max() <= 1.0


def test_e_is_a_spline_of_the_scaled_image(pool: np.ndarray) -> None:
    parameters = {name: value[:1] for name, value in drawn("e", seed=4).items()}
    warped = apply("e", parameters, pool, [9])
    grid = reference.grid("tps", parameters["offsets"], SIZE, False) / parameters["scale"][0]
    expected = reference.grid_sample(pool[9:10] / 255.0, grid, "bilinear", "zeros", False)
    np.testing.assert_allclose(warped, expected, atol=1e-4)


def test_tc_is_the_digit_and_pieces_of_others(pool: np.ndarray) -> None:
    parameters = {name: value[:6] for name, value in drawn("tc", seed=2).items()}
    cluttered = apply("tc", parameters, pool, list(range(6)))
    for index in range(6):
        expected = np.zeros((60, 60, 1), np.uint8)
        row, column = parameters["place"][index]
        expected[row : row + 28, column : column + 28] = pool[index]
        for piece in range(6):
            donor = (index + 1 + parameters["donor"][index, piece] % 39) % 40
            assert donor != index
            (r, c), (to_r, to_c) = (
                parameters["cut"][index, piece],
                parameters["paste"][index, piece],
            )
            target = expected[to_r : to_r + 6, to_c : to_c + 6]
            np.maximum(target, pool[donor, r : r + 6, c : c + 6], out=target)
        np.testing.assert_allclose(cluttered[index], expected / 255.0, atol=1e-6)


def test_tc_parameters_reach_everywhere() -> None:
    parameters = drawn("tc")
    assert parameters["donor"].shape == (COUNT, 6)
    for name, most in (("place", 32), ("cut", 22), ("paste", 54)):
        assert parameters[name].min() == 0
        assert parameters[name].max() == most


@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_images_stay_in_range_and_keep_their_ink(pool: np.ndarray, distortion: str) -> None:
    indices = list(range(40))
    images = apply(distortion, drawn(distortion, count=40), pool, indices)
    assert images.shape == (40, *canvas_size(distortion, SIZE), 1)
    assert images.dtype == np.float32
    assert images.min() >= 0.0
    assert images.max() <= 1.0 + 1e-6
    assert images.reshape(40, -1).sum(axis=1).min() > 20, "no digit has left the canvas"


@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_amounts_grow_with_the_image(distortion: str) -> None:
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (5, 56, 42, 3)).astype(np.uint8)
    parameters = draw(distortion, tf.constant([0, 1], tf.int64), 3, (56, 42))
    images = distort(distortion, parameters, tf.constant(colour), tf.constant([0, 1, 4], tf.int64))
    expected = {"rts": (84, 63), "tc": (120, 90)}.get(distortion, (56, 42))
    assert tuple(images.shape) == (3, *expected, 3)


def test_canvas_size_exception_raised() -> None:
    with pytest.raises(ValueError, match=r"`distortion` must be one of none, r, .* but it is 'q'"):
        canvas_size("q", SIZE)
