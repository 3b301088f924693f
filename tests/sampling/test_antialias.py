"""Samples spread over what a pixel covers of the input; every test with either sampler."""

import functools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import stn_tf
from stn_tf.geometry import TRANSFORMS, MatrixTransform, get_transform
from stn_tf.sampling.grid_sample import KERNELS, PADDINGS
from tests import reference
from tests.sampling.samplers import every_pair_with_samplers

SIZES = {2: (9, 8), 3: (6, 5, 7)}
OUTPUT_SIZES = {2: (3, 4), 3: (2, 1, 3)}


def arguments(
    transform: str, rng: np.random.Generator, crops: tuple[int, ...] = ()
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Images, thetas near the identity, and an output size, where all footprints exceed a pixel."""
    family = get_transform(transform)
    images = rng.uniform(-1, 1, (2, *SIZES[family.dimensions], 2))
    theta = family.identity() + rng.uniform(-0.1, 0.1, (2, *crops, *family.theta_shape))
    return images, theta, OUTPUT_SIZES[family.dimensions]


def expected(
    images: np.ndarray,
    theta: np.ndarray,
    size: tuple[int, ...],
    transform: str,
    samples: int = 2,
    semantics: tuple = ("bilinear", "zeros", False),
    width_theta: np.ndarray | None = None,
) -> np.ndarray:
    """The mean of what the NumPy reference reads at all samples."""
    spread = (size, images.shape[1:-1], semantics[2], samples, width_theta)
    grids = reference.spread_grids(transform, theta, *spread)
    return np.mean([reference.grid_sample(images, grid, *semantics) for grid in grids], axis=0)


@every_pair_with_samplers(
    transform=TRANSFORMS,
    kernel=KERNELS,
    padding=PADDINGS,
    align_corners=[False, True],
    samples=[2, 3],
)
def test_reference(
    transform: str,
    kernel: str,
    padding: str,
    align_corners: bool,
    samples: int,
    rng: np.random.Generator,
) -> None:
    images, theta, size = arguments(transform, rng)
    semantics = (kernel, padding, align_corners)
    found = stn_tf.warp(
        images,
        theta,
        size,
        transform=transform,
        kernel=kernel,
        padding=padding,
        align_corners=align_corners,
        antialias=samples,
    )
    assert found.dtype == tf.float64
    wanted = expected(images, theta, size, transform, samples, semantics)
    np.testing.assert_allclose(found, wanted, atol=1e-9)


@every_pair_with_samplers(
    together=1,
    transform=TRANSFORMS,
    mode=["eager", "graph", "native", "unknown", "xla"],
    crops=[(), (3,)],
)
def test_in_graphs(transform: str, mode: str, crops: tuple, rng: np.random.Generator) -> None:
    images, theta, size = arguments(transform, rng, crops)
    images, theta = images.astype(np.float32), theta.astype(np.float32)

    def show(images: tf.Tensor, theta: tf.Tensor) -> tf.Tensor:
        # A size that only the graph knows.
        wanted = tf.shape(images)[1:-1] // 3 if mode == "unknown" else size
        with stn_tf.native_sampler(mode == "native"):
            return stn_tf.warp(images, theta, wanted, transform=transform, antialias=2)

    call = {"eager": show, "xla": tf.function(show, jit_compile=True)}.get(mode, tf.function(show))
    if mode == "unknown":
        size = tuple(length // 3 for length in images.shape[1:-1])
        free = [None] * (1 + len(crops))
        specs = [
            tf.TensorSpec([None] * (images.ndim - 1) + [2]),
            tf.TensorSpec([*free, *get_transform(transform).theta_shape]),
        ]
        call = tf.function(show, input_signature=specs)
    found = call(tf.constant(images), tf.constant(theta)).numpy()
    assert found.shape == (2, *crops, *size, 2)
    for crop in np.ndindex(*crops):
        here = (slice(None), *crop)
        wanted = expected(images, theta[here], size, transform)
        np.testing.assert_allclose(found[here], wanted, atol=2e-5)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_nothing_changes_unless_it_shrinks(
    transform: str, align_corners: bool, rng: np.random.Generator
) -> None:
    family = get_transform(transform)
    images = rng.normal(size=(2, *(28, 43, 3)[: family.dimensions], 1)).astype(np.float32)
    theta = np.stack([family.identity()] * 2)
    show = functools.partial(stn_tf.warp, images, transform=transform, align_corners=align_corners)
    # 3: nine or 27 equal numbers, added and divided, are not always that number.
    same = show(theta, images.shape[1:-1], antialias=3)
    np.testing.assert_array_equal(same, images)
    theta += rng.uniform(-0.02, 0.02, theta.shape).astype(np.float32)
    size = tuple(2 * length for length in images.shape[1:-1])
    plain, same = (show(theta, size, antialias=samples) for samples in (1, 3))
    # The compiled sampler has points of homographies of its own, which differ by their rounding.
    atol = 2e-5 if transform == "projective" else 0.0
    np.testing.assert_allclose(same, plain, rtol=0, atol=atol)


@pytest.mark.parametrize("transform", ["attention", "tps"])
def test_nothing_changes_in_graphs_either(transform: str, rng: np.random.Generator) -> None:
    images = rng.normal(size=(1, 28, 43, 1)).astype(np.float32)
    theta = get_transform(transform).identity()[np.newaxis]
    call = tf.function(functools.partial(stn_tf.warp, transform=transform, antialias=2))
    np.testing.assert_array_equal(call(images, theta, (28, 43)), images)


def test_a_turn_is_no_blur(rng: np.random.Generator) -> None:
    images = rng.normal(size=(1, 64, 64, 1)).astype(np.float32)
    theta = np.array([[1.0, 0.7, 0.1, 0.0]], np.float32)
    show = functools.partial(stn_tf.warp, images, theta, (64, 64), transform="similarity")
    np.testing.assert_array_equal(show(antialias=2), show())


def test_only_the_axis_that_shrinks_is_blurred() -> None:
    columns = np.tile(np.arange(16) % 2, (1, 16, 1)).astype(np.float32)[..., np.newaxis]
    theta = stn_tf.identity()[np.newaxis]
    for images, size in ((columns, (4, 16)), (np.swapaxes(columns, 1, 2), (16, 4))):
        kept = stn_tf.warp(images, theta, size, antialias=4)
        np.testing.assert_allclose(kept, stn_tf.warp(images, theta, size), atol=1e-6)
        blurred = stn_tf.warp(images, theta, size[::-1], antialias=4)
        np.testing.assert_allclose(blurred, np.full(blurred.shape, 0.5), atol=0.01)


def test_one_pixel_is_the_mean_of_all() -> None:
    """An output of one pixel has no neighbour to tell its footprint, but it has edges."""
    images = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    theta = get_transform("projective").identity()[np.newaxis]
    for values in (images, images**2):
        (mean,) = np.ravel(stn_tf.warp(values, theta, (1, 1), transform="projective", antialias=4))
        np.testing.assert_allclose(mean, values.mean(), rtol=0.02)
    # With aligned corners nothing says how far a single pixel reaches.
    aligned = {"transform": "projective", "align_corners": True}
    (one,) = np.ravel(stn_tf.warp(images**2, theta, (1, 1), antialias=4, **aligned))
    np.testing.assert_allclose(one, np.ravel(stn_tf.warp(images**2, theta, (1, 1), **aligned)))


def area_means(frequency: float, count: int, shift: float) -> np.ndarray:
    """Means of cos(2 pi frequency x) over 4 pixels each; the first begin at -1/2 + shift."""
    angle = 2 * np.pi * frequency
    low = 4.0 * np.arange(count) - 0.5 + shift
    return (np.sin(angle * (low + 4)) - np.sin(angle * low)) / (4 * angle)


@pytest.mark.parametrize("transform", ["affine", "projective"])
@pytest.mark.parametrize("frequency", [0.5, 0.45, 0.3])
def test_patterns_do_not_alias(transform: str, frequency: float) -> None:
    """A wave (0.5: a checkerboard) that is shrunk four times is the mean over 4 x 4 pixels."""
    length, count, shift = 64, 16, 0.2
    line = np.cos(2 * np.pi * frequency * np.arange(length))
    images = np.outer(line, line)[np.newaxis, ..., np.newaxis].astype(np.float32)
    means = area_means(frequency, count, shift)
    # Shifted a little, so that a plain sample is not halfway between two pixels by luck.
    theta = get_transform(transform).identity().ravel()
    theta[[2, 5]] = shift * 2 / length
    theta = theta.reshape(1, *get_transform(transform).theta_shape)

    def error(samples: int) -> float:
        shown = stn_tf.warp(images, theta, (count,) * 2, transform=transform, antialias=samples)
        # Not where footprints leave the image.
        inside = (shown[0, ..., 0].numpy() - np.outer(means, means))[1:-1, 1:-1]
        return float(np.sqrt(np.mean(inside**2)))

    assert error(1) > 0.08
    assert error(4) < 0.01


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_gradients(transform: str, rng: np.random.Generator) -> None:
    """Those of the NumPy reference with the fractions f held, by finite differences."""
    images, theta, size = arguments(transform, rng)
    cotangent = rng.normal(size=(2, *size, 2))
    with tf.GradientTape() as tape:
        values = [tf.constant(images), tf.constant(theta)]
        tape.watch(values)
        shown = stn_tf.warp(*values, size, transform=transform, antialias=2)
    to_images, to_theta = tape.gradient(shown, values, cotangent)

    direction, step = rng.normal(size=theta.shape), 1e-6
    ends = [
        np.sum(cotangent * expected(images, moved, size, transform, width_theta=theta))
        for moved in (theta + step * direction, theta - step * direction)
    ]
    slope = (ends[0] - ends[1]) / (2 * step)
    assert abs(slope) > 0.1
    np.testing.assert_allclose(np.sum(direction * to_theta), slope, rtol=1e-5, atol=1e-5)
    # Linear in the images.
    direction = rng.normal(size=images.shape)
    slope = np.sum(cotangent * expected(direction, theta, size, transform))
    np.testing.assert_allclose(np.sum(direction * to_images), slope, atol=1e-9)


@pytest.mark.parametrize("scale", [0.0, 0.7, 1.0, 1.0 + 3e-6, 1.001])
@pytest.mark.parametrize("transform", ["affine", "tps"])
def test_gradients_where_a_footprint_is_a_pixel(
    transform: str, scale: float, rng: np.random.Generator
) -> None:
    """Nothing is infinite where samples begin to spread; before, gradients are the plain ones."""
    images = tf.constant(rng.uniform(size=(1, 12, 12, 1)).astype(np.float32))
    theta = scale * stn_tf.identity()
    if transform == "tps":
        line = np.linspace(-1, 1, 4)
        theta = (scale - 1) * np.array([(x, y) for y in line for x in line])
    theta = tf.constant(theta[np.newaxis], tf.float32)

    def gradient(samples: int) -> np.ndarray:
        with tf.GradientTape() as tape:
            tape.watch(theta)
            shown = stn_tf.warp(images, theta, (12, 12), transform=transform, antialias=samples)
        return tape.gradient(shown, theta).numpy()

    found, plain = gradient(3), gradient(1)
    assert np.all(np.isfinite(found))
    if scale <= 1.0:
        np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-4)
    # At a pixel's centre the slopes to its two sides differ, and samples are on both.
    assert np.abs(found).max() < 3 * np.abs(plain).max()


def test_no_number(rng: np.random.Generator) -> None:
    images = rng.uniform(size=(3, 8, 8, 1)).astype(np.float32)
    theta = np.stack([np.full((2, 3), np.nan), 1e30 * np.eye(2, 3), np.eye(2, 3)])
    shown = stn_tf.warp(images, theta.astype(np.float32), (4, 4), antialias=2)
    np.testing.assert_array_equal(shown[:2], np.zeros((2, 4, 4, 1)))
    assert np.all(shown[2] > 0)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision(dtype: tf.DType, rng: np.random.Generator) -> None:
    images, theta, size = arguments("affine", rng)
    images = tf.cast(images, dtype)
    shown = stn_tf.warp(images, theta.astype(np.float32), size, antialias=3)
    assert shown.dtype == dtype
    wanted = expected(tf.cast(images, tf.float64).numpy(), theta, size, "affine", 3)
    # Samples are rounded, and their mean once more.
    step = 2.0**-10 if dtype == tf.float16 else 2.0**-7
    np.testing.assert_allclose(tf.cast(shown, tf.float64), wanted, atol=1.5 * step)


@pytest.mark.parametrize("count", [(0,), (0, 3), (2, 0)])
def test_empty(count: tuple[int, ...]) -> None:
    for transform, theta in (("affine", [2, 3]), ("projective", [8])):
        shown = stn_tf.warp(
            tf.zeros([count[0], 4, 4, 1]),
            tf.zeros([*count, *theta]),
            (2, 3),
            transform=transform,
            antialias=2,
        )
        assert shown.shape == (*count, 2, 3, 1)


def test_a_family_of_the_users_own(rng: np.random.Generator) -> None:
    class Zoom(MatrixTransform):
        """Theta is one number."""

        name = "zoom"
        affine = True
        parameters = ("zoom",)
        theta_shape = (1,)

        def identity(self) -> np.ndarray:
            return np.ones(1, np.float32)

        def matrix(self, theta: Any) -> tf.Tensor:
            zoom = theta[..., 0]
            one = tf.ones_like(zoom)
            return tf.linalg.diag(tf.stack([zoom, zoom, one], axis=-1))

        def from_matrix(self, matrix: tf.Tensor) -> tf.Tensor:
            return matrix[..., 0, :1]

    images, _, size = arguments("affine", rng)
    theta = np.array([[0.9], [1.3]])
    shown = stn_tf.warp(images, theta, size, transform=Zoom(), antialias=2)
    window = np.concatenate([theta, 0 * theta, 0 * theta], axis=1)
    np.testing.assert_allclose(shown, expected(images, window, size, "attention"), atol=1e-9)


@pytest.mark.parametrize("value", [0, 1.5, True, "2"])
def test_exception_raised(value: Any) -> None:
    with pytest.raises(ValueError, match="`antialias` must be an integer of at least 1, but it is"):
        stn_tf.warp(tf.zeros([1, 4, 4, 1]), tf.zeros([1, 2, 3]), (2, 2), antialias=value)
