"""Where augmented images are read, against matrices of pixels in float64."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy.interpolate import RBFInterpolator

from stn_tf.data import keys
from stn_tf.data.augmentation import Augmentation
from stn_tf.data.augmentation_bending import bent_points
from tests import reference

_STORED, _SIZE = (17, 23), (14, 19)
_AFFINE = {
    "base": "none",
    "flip": "both",
    "rotate": 180.0,
    "scale": (0.7, 1.4),
    "shear": 15.0,
    "translate": 0.2,
    "crop": (0.3, 0.9),
}


def _drawn(settings: dict, count: int = 5) -> tuple[Augmentation, dict[str, np.ndarray]]:
    augmentation = Augmentation.of(settings)
    return augmentation, augmentation.draw(keys.make_key(11, 4), count)


def _expected_points(parameters: dict, index: int, view: np.ndarray) -> np.ndarray:
    """Where points of the view `[..., 2]`, -1 to 1, lie in the stored image, -1 to 1 too."""
    drawn = {k: np.asarray(v[index], np.float64) for k, v in parameters.items()}
    half = np.array([_STORED[1], _STORED[0]]) / 2
    cosine, sine = drawn.get("turn", (1, 0))
    shear_x, shear_y = drawn.get("shear", (0, 0))
    crop = drawn.get("crop", np.array([1, 1, 0, 0]))
    flip = drawn.get("flip", np.ones(2))
    if "corners" in drawn:
        view = _homography(drawn["corners"], view)
    pixels = view * half * flip * crop[:2] / drawn.get("scale", 1)
    sheared = np.array([[1, shear_x], [shear_y, 1]])
    turned = np.array([[cosine, -sine], [sine, cosine]])
    pixels = pixels @ (turned @ sheared).T
    return pixels / half + crop[2:] + drawn.get("translation", np.zeros(2))


def _homography(moves: np.ndarray, points: np.ndarray) -> np.ndarray:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)
    rows, right = [], []
    for (x, y), (u, v) in zip(corners, corners + moves, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    matrix = np.append(np.linalg.solve(rows, right), 1).reshape(3, 3)
    mapped = np.concatenate([points, np.ones((*points.shape[:-1], 1))], axis=-1) @ matrix.T
    return mapped[..., :2] / mapped[..., 2:]


@pytest.mark.parametrize("fill", ["reflection", "border", "zeros"])
@pytest.mark.parametrize("perspective", [0.0, 0.2])
def test_apply_random(rng, fill, perspective):
    images = rng.integers(0, 256, (5, *_STORED, 2), dtype=np.uint8)
    augmentation, parameters = _drawn(_AFFINE | {"fill": fill, "perspective": perspective})
    assert ("corners" in parameters) == bool(perspective)
    base = reference.base_grid(_SIZE, False)
    grid = np.stack([_expected_points(parameters, index, base) for index in range(5)])
    expected = reference.grid_sample(images / 255, grid, "bilinear", fill, False)
    np.testing.assert_allclose(augmentation.apply(images, parameters, _SIZE), expected, atol=2e-4)


@pytest.mark.parametrize("name", ["flip", "rotate", "scale", "shear", "translate", "crop"])
def test_apply_one_setting(rng, name):
    images = rng.integers(0, 256, (5, *_STORED, 1), dtype=np.uint8)
    augmentation, parameters = _drawn({"base": "none", name: _AFFINE[name]})
    base = reference.base_grid(_SIZE, False)
    grid = np.stack([_expected_points(parameters, index, base) for index in range(5)])
    expected = reference.grid_sample(images / 255, grid, "bilinear", "reflection", False)
    np.testing.assert_allclose(augmentation.apply(images, parameters, _SIZE), expected, atol=2e-4)


@pytest.mark.parametrize(
    ("flip", "expected"),
    [
        ((-1, 1), lambda image: image[:, ::-1]),
        ((1, -1), lambda image: image[::-1]),
        ((-1, -1), lambda image: image[::-1, ::-1]),
    ],
)
def test_flip_preset(rng, flip, expected):
    images = rng.integers(0, 256, (1, 20, 31, 3), dtype=np.uint8)
    seen = Augmentation().apply(images, {"flip": tf.constant([flip], tf.float32)}, (20, 31))
    np.testing.assert_allclose(seen[0] * 255, expected(images[0]), atol=1e-3)


def test_quarter_turn_preset(rng):
    images = rng.integers(0, 256, (1, 16, 16, 1), dtype=np.uint8)
    seen = Augmentation().apply(images, {"turn": tf.constant([[0.0, 1.0]])}, (16, 16))
    # The view turns to the right in the image, so that what is seen turns to the left.
    np.testing.assert_allclose(seen[0] * 255, np.rot90(images[0]), atol=1e-3)


def test_crop_preset(rng):
    images = rng.integers(0, 256, (1, 24, 24, 1), dtype=np.uint8)
    # The right upper quarter.
    crop = tf.constant([[0.5, 0.5, 0.5, -0.5]])
    seen = Augmentation().apply(images, {"crop": crop}, (12, 12))
    np.testing.assert_allclose(seen[0] * 255, images[0, :12, 12:], atol=1e-3)


@pytest.mark.parametrize(("control_points", "close"), [(3, 0.1), (4, 0.1), (6, 0.2)])
def test_bent_points_random(rng, control_points, close):
    axis = np.linspace(-1, 1, control_points)
    control = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    moves = rng.normal(0, 0.02, (2, control_points**2, 2))
    size = (96, 112)
    base = reference.base_grid(size, False)
    points = bent_points(tf.constant(moves, tf.float32), size).numpy()
    assert points.shape == (2, *size, 2)
    for index in range(2):
        spline = RBFInterpolator(control, moves[index], kernel="thin_plate_spline", degree=1)
        expected = base + spline(base.reshape(-1, 2)).reshape(base.shape)
        pixels = np.abs(points[index] - expected) * [size[1] / 2, size[0] / 2]
        assert pixels[8:-8, 8:-8].max() < close
        assert pixels.max() < 0.5
        assert np.abs(expected - base).max() * 48 > 1


@pytest.mark.parametrize("perspective", [0.0, 0.1])
def test_elastic_is_within_the_other_maps(rng, perspective):
    # A linear ramp: what is read says where. Not near the edge, where it is reflected.
    rows, columns = np.mgrid[: _STORED[0], : _STORED[1]]
    images = np.stack([columns * 10, rows * 10], axis=-1)[np.newaxis].repeat(5, axis=0)
    augmentation, parameters = _drawn(
        {"base": "none", "rotate": 20, "scale": (2, 3), "elastic": 0.01, "perspective": perspective}
    )
    bent = bent_points(parameters["bend"], _SIZE).numpy().astype(np.float64)
    seen = augmentation.apply(images.astype(np.uint8), parameters, _SIZE).numpy() * 25.5
    for index in range(5):
        points = _expected_points(parameters, index, bent[index])
        pixels = (points + 1) / 2 * [_STORED[1], _STORED[0]] - 0.5
        np.testing.assert_allclose(seen[index], pixels, atol=2e-3)


def test_draw_ranges():
    _, drawn = _drawn(_AFFINE | {"perspective": 0.1, "elastic": 0.02}, 4000)
    drawn = {name: values.numpy() for name, values in drawn.items()}
    assert np.unique(drawn["flip"]).tolist() == [-1, 1]
    assert np.abs(drawn["flip"].mean(axis=0)).max() < 0.08
    angles = np.degrees(np.arctan2(drawn["turn"][:, 1], drawn["turn"][:, 0]))
    assert -180 <= angles.min() < -178
    assert 178 < angles.max() <= 180
    np.testing.assert_allclose(np.linalg.norm(drawn["turn"], axis=1), 1, atol=1e-6)
    assert 0.7 <= drawn["scale"].min() < 0.71
    assert 1.39 < drawn["scale"].max() <= 1.4001
    assert abs(np.log(drawn["scale"]).mean() - np.log([0.7, 1.4]).mean()) < 0.02
    assert 0.99 < np.abs(drawn["shear"]).max() / math.tan(math.radians(15)) <= 1.0001
    assert 0.39 < np.abs(drawn["translation"]).max() <= 0.4
    assert 0.19 < np.abs(drawn["corners"]).max() <= 0.2
    assert drawn["bend"].shape == (4000, 16, 2)
    assert abs(drawn["bend"].std() - 0.04) < 0.001
    sides, middle = drawn["crop"][:, :2], drawn["crop"][:, 2:]
    area = sides.prod(axis=1)
    whole = (sides < 1).all(axis=1)
    assert 0.3 * 0.999 <= area.min() < 0.31
    assert 0.88 < area.max() <= 0.9001
    aspect = sides[whole, 0] / sides[whole, 1]
    assert 0.75 * 0.999 < aspect.min() < 0.76
    assert 1.32 < aspect.max() < 4 / 3 * 1.001
    # A crop never leaves the image, and touches each edge.
    assert (np.abs(middle) + sides).max() <= 1.0001
    assert np.abs(middle).max() > 0.3


def test_flip_of_one_axis_leaves_the_other():
    for flip, axis in (("horizontal", 0), ("vertical", 1)):
        _, drawn = _drawn({"base": "none", "flip": flip}, 64)
        assert set(drawn["flip"][:, axis].numpy()) == {-1, 1}
        assert set(drawn["flip"][:, 1 - axis].numpy()) == {1}


def test_patterns_that_shrink_do_not_alias():
    # Stripes of one pixel are grey from far away, and must not be wide stripes.
    stripes = np.tile(np.array([0, 255], np.uint8), (1, 64, 32))[..., np.newaxis]
    size = (32, 32)
    far = Augmentation.of({"base": "none", "scale": (0.65, 0.65)})
    seen = far.apply(stripes, {"scale": tf.constant([0.65])}, size).numpy()
    near = Augmentation.of({"base": "none"}).apply(stripes, {"crop": _HALF}, size).numpy()
    assert np.abs(seen[0, 8:-8, 8:-8] - 0.5).max() < 0.35
    assert np.abs(near - 0.5).max() > 0.49
    # It asks each image alone: one that does not shrink stays sharp.
    both = far.apply(
        np.repeat(stripes, 2, axis=0), {"scale": tf.constant([0.65, 2.0])}, size
    ).numpy()
    np.testing.assert_array_equal(both[0], seen[0])
    np.testing.assert_array_equal(
        both[1], Augmentation.of({"base": "none", "scale": (2, 2)}).apply(
            stripes, {"scale": tf.constant([2.0])}, size
        )[0]
    )  # fmt: skip


_HALF = tf.constant([[0.5, 0.5, 0.0, 0.0]])


def test_elastic_that_folds_exception_raised():
    message = "`augment.elastic` must be at most 0.0667 for 4 control points a side"
    with pytest.raises(ValueError, match=message):
        Augmentation.of({"elastic": 0.07})
    Augmentation.of({"elastic": 0.07, "elastic_points": 3})
