"""StnTf>GridSample and its gradients, against NumPy in float64."""

import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from stn_tf import native
from stn_tf.sampling import native as op
from stn_tf.sampling import portable
from stn_tf.sampling.grid_sample import KERNELS, PADDINGS
from tests import reference

COMBINATIONS = list(itertools.product(KERNELS, PADDINGS, [False, True]))
# Images -> relative error against the same images in float64.
TOLERANCES = {tf.float64: 1e-12, tf.float32: 1e-5, tf.float16: 2e-3, tf.bfloat16: 1.6e-2}


def relative_error(actual: tf.Tensor, expected: np.ndarray) -> float:
    if expected.size == 0:
        return 0.0
    difference = np.abs(tf.cast(actual, tf.float64).numpy() - expected)
    return float(difference.max() / max(np.abs(expected).max(), 1.0))


def gradients(
    sample: object, images: tf.Tensor, grid: tf.Tensor, upstream: tf.Tensor, combination: tuple
) -> list[tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch([images, grid])
        output = sample(images, grid, *combination)
    return tape.gradient(output, [images, grid], upstream)


def points_off_kinks(
    rng: np.random.Generator, shape: tuple[int, ...], sizes: list[int], align_corners: bool
) -> np.ndarray:
    """Normalised points that are well between pixels, where gradients exist."""
    axes = []
    for size in reversed(sizes):
        pixels = rng.integers(-3, size + 3, shape) + rng.choice([0.12, 0.31, 0.69, 0.88], shape)
        extent = max(size - 1, 1) if align_corners else size
        axes.append(2 * pixels / extent - 1 if align_corners else (2 * pixels + 1) / extent - 1)
    return np.stack(axes, axis=-1)


@settings(max_examples=60)
@given(
    size=st.lists(st.integers(1, 6), min_size=2, max_size=3),
    channels=st.sampled_from([1, 2, 3, 4, 7, 13, 16, 27]),
    combination=st.sampled_from(COMBINATIONS),
    dtype=st.sampled_from(list(TOLERANCES)),
    seed=st.integers(0, 2**31),
    reach=st.sampled_from([1.0, 2.0, 5.0]),
)
def test_values(
    size: list[int], channels: int, combination: tuple, dtype: tf.DType, seed: int, reach: float
) -> None:
    rng = np.random.default_rng(seed)
    points = tf.float64 if dtype == tf.float64 else tf.float32
    images = tf.cast(rng.uniform(-1, 1, (2, *size, channels)), dtype)
    grid = tf.cast(rng.uniform(-reach, reach, (2, *([2] * (len(size) - 1)), 3, len(size))), points)
    if combination[0] == "nearest":
        # Which pixel is nearest to a point between two is a matter of rounding.
        exact = points_off_kinks(rng, tuple(grid.shape[:-1]), size, combination[2])
        grid = tf.cast(exact, points)
    sampled = op.sample(images, grid, *combination)
    assert sampled.dtype == dtype
    expected = reference.grid_sample(
        tf.cast(images, tf.float64).numpy(), grid.numpy(), *combination
    )
    assert relative_error(sampled, expected) <= TOLERANCES[dtype]


@settings(max_examples=60)
@given(
    size=st.lists(st.integers(1, 5), min_size=2, max_size=3),
    channels=st.sampled_from([1, 2, 3, 5, 13, 17]),
    combination=st.sampled_from(COMBINATIONS),
    seed=st.integers(0, 2**31),
)
def test_gradients_are_those_of_the_definition(
    size: list[int], channels: int, combination: tuple, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (2, *([2] * (len(size) - 1)), 3)
    images = rng.uniform(-1, 1, (2, *size, channels))
    grid = points_off_kinks(rng, shape, size, combination[2])
    upstream = rng.uniform(-1, 1, (*shape, channels))
    to_images, to_grid = gradients(
        op.sample, tf.constant(images), tf.constant(grid), tf.constant(upstream), combination
    )
    along_images, along_grid = rng.normal(size=images.shape), rng.normal(size=grid.shape)

    def value(step: float, of_images: float, of_grid: float) -> float:
        moved = images + step * of_images * along_images, grid + step * of_grid * along_grid
        return float((reference.grid_sample(*moved, *combination) * upstream).sum())

    step = 1e-6
    for gradient, direction, moves in (
        (to_images, along_images, (1.0, 0.0)),
        (to_grid, along_grid, (0.0, 1.0)),
    ):
        slope = (value(step, *moves) - value(-step, *moves)) / (2 * step)
        assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(slope, 1e-6, 1e-6)


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("dtype", [tf.float32, tf.float16, tf.bfloat16])
@pytest.mark.parametrize("channels", [1, 3, 18])
def test_gradients_in_lower_precision(
    channels: int, dtype: tf.DType, combination: tuple, rng: np.random.Generator
) -> None:
    sizes = [7, 9]
    images = tf.cast(rng.uniform(-1, 1, (3, *sizes, channels)), dtype)
    grid = tf.cast(points_off_kinks(rng, (3, 6, 5), sizes, combination[2]), tf.float32)
    upstream = tf.cast(rng.uniform(-1, 1, (3, 6, 5, channels)), dtype)
    lower = gradients(op.sample, images, grid, upstream, combination)
    exact = gradients(
        op.sample, *(tf.cast(value, tf.float64) for value in (images, grid, upstream)), combination
    )
    assert relative_error(lower[0], exact[0].numpy()) <= TOLERANCES[dtype]
    # The gradient of the points is float32 whatever the images are.
    assert lower[1].dtype == tf.float32
    assert relative_error(lower[1], exact[1].numpy()) <= TOLERANCES[tf.float32]


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_points_that_are_no_numbers_read_as_far_outside(
    combination: tuple, rng: np.random.Generator
) -> None:
    images = tf.constant(rng.normal(size=(1, 3, 4, 2)).astype(np.float32))
    odd = [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e10, 0.3]
    grid = tf.constant(np.array(list(itertools.product(odd, odd)), np.float32)[None, None])
    upstream = tf.ones([1, 1, len(odd) ** 2, 2])
    np.testing.assert_allclose(
        op.sample(images, grid, *combination), portable.sample(images, grid, *combination), 1e-5
    )
    for mine, theirs in zip(
        gradients(op.sample, images, grid, upstream, combination),
        gradients(portable.sample, images, grid, upstream, combination),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "grid"),
    [
        ((0, 3, 4, 2), (0, 2, 2, 2)),
        ((2, 3, 4, 0), (2, 2, 2, 2)),
        ((2, 3, 4, 2), (2, 0, 2, 2)),
        ((2, 2, 3, 4, 2), (2, 2, 2, 0, 3)),
    ],
)
def test_nothing_to_sample(images: tuple, grid: tuple) -> None:
    arguments = tf.ones(images), tf.ones(grid)
    output = op.sample(*arguments, *COMBINATIONS[0])
    assert output.shape == (*grid[:-1], images[-1])
    to_images, to_grid = gradients(op.sample, *arguments, tf.ones(output.shape), COMBINATIONS[0])
    np.testing.assert_array_equal(to_images, np.zeros(images))
    np.testing.assert_array_equal(to_grid, np.zeros(grid))


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("channels", [1, 3, 33])
def test_gradients_are_the_same_for_any_number_of_threads(
    channels: int, batch: int, rng: np.random.Generator
) -> None:
    images = tf.constant(rng.normal(size=(batch, 40, 50, channels)).astype(np.float32))
    grid = tf.constant(rng.uniform(-1.1, 1.1, (batch, 90, 80, 2)).astype(np.float32))
    upstream = tf.constant(rng.normal(size=(batch, 90, 80, channels)).astype(np.float32))
    found = set()
    try:
        for threads in (1, 2, 3, 8):
            native.set_threads(threads)
            both = gradients(op.sample, images, grid, upstream, COMBINATIONS[0])
            found.add(tuple(gradient.numpy().tobytes() for gradient in both))
    finally:
        native.set_threads(0)
    assert len(found) == 1


@pytest.mark.slow
def test_an_image_beyond_two_gibibytes() -> None:
    images = np.zeros([1, 2**15, 2**14 + 1, 1], np.float32)
    images[0, -1, -1, 0] = 7.0
    assert images.nbytes > 2**31
    grid = tf.constant([[[[1.0, 1.0], [-1.0, 1.0]]]])
    sampled = op.sample(tf.constant(images), grid, "bilinear", "zeros", True)
    np.testing.assert_array_equal(sampled[0, 0, :, 0], [7.0, 0.0])


def test_more_pixels_than_an_index_can_count_are_refused() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="fewer than 2\\^31 pixels"):
        op.sample(tf.zeros([1, 2**16, 2**15, 0]), tf.zeros([1, 1, 1, 2]), *COMBINATIONS[0])


@pytest.mark.parametrize(
    ("images", "grid", "message"),
    [
        ((2, 3, 4), (2, 1, 1, 2), r"`images` must be .* but they are \[2, 3, 4\]"),
        ((2, 3, 4, 1), (2, 1, 1, 3), r"`grid` must be .*\[2, 1, 1, 3\]"),
        ((2, 3, 4, 1), (3, 1, 1, 2), r"N of `images` \[2, 3, 4, 1\], but it is \[3, 1, 1, 2\]"),
        ((2, 3, 4, 1), (2, 1, 2), r"`grid` must be"),
        ((2, 0, 4, 1), (2, 1, 1, 2), "at least one pixel"),
    ],
)
def test_shapes_that_do_not_fit(images: tuple, grid: tuple, message: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        op.sample(tf.ones(images), tf.ones(grid), "bilinear", "zeros", False)


def test_options_that_do_not_exist() -> None:
    images, grid = tf.ones([1, 2, 2, 1]), tf.ones([1, 1, 1, 2])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r'`kernel` must be one of .*"cubic"'):
        op.sample(images, grid, "cubic", "zeros", False)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r'`padding` must be one of .*"wrap"'):
        op.sample(images, grid, "nearest", "wrap", False)


def test_an_upstream_of_another_shape_is_refused() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="the shape of the output"):
        native.operations().stn_tf_grid_sample_grad(
            *(tf.ones([1, 2, 2, 1]), tf.ones([1, 1, 1, 2]), tf.ones([1, 1, 2, 1])),
            kernel="bilinear",
            padding="zeros",
            align_corners=False,
            want_images=True,
            want_points=True,
        )


@pytest.mark.parametrize("in_graph", [False, True])
def test_second_derivatives(in_graph: bool, rng: np.random.Generator) -> None:
    images = tf.constant(rng.normal(size=(1, 5, 6, 2)))
    grid = tf.constant(points_off_kinks(rng, (1, 3, 3), [5, 6], False))

    def curvature(sample: object) -> tf.Tensor:
        with tf.GradientTape() as outer:
            outer.watch(grid)
            with tf.GradientTape() as inner:
                inner.watch(grid)
                total = tf.reduce_sum(sample(images, grid, "bicubic", "zeros", False) ** 2)
            slope = inner.gradient(total, grid)
        return outer.gradient(slope, grid)

    call = tf.function(curvature) if in_graph else curvature
    np.testing.assert_allclose(call(op.sample), curvature(portable.sample), rtol=1e-9)


def test_shapes_are_known_in_graphs() -> None:
    @tf.function(input_signature=[tf.TensorSpec([None, 8, 9, 3]), tf.TensorSpec([None, 4, 5, 2])])
    def sample(images: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
        return op.sample(images, grid, "bilinear", "zeros", False)

    assert sample.get_concrete_function().output_shapes.as_list() == [None, 4, 5, 3]


def test_many_callers_at_once(rng: np.random.Generator) -> None:
    images = tf.constant(rng.normal(size=(4, 60, 60, 8)).astype(np.float32))
    grid = tf.constant(rng.uniform(-1, 1, (4, 60, 60, 2)).astype(np.float32))
    expected = op.sample(images, grid, *COMBINATIONS[0]).numpy()
    wrong = []

    def call() -> None:
        for _ in range(20):
            if not np.array_equal(op.sample(images, grid, *COMBINATIONS[0]).numpy(), expected):
                wrong.append(threading.get_ident())

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


_SAMPLE = """
import numpy as np, stn_tf, sys
from stn_tf import native
from stn_tf.sampling import native as op
rng = np.random.default_rng(5)
images = rng.normal(size=(2, 30, 31, 3)).astype("f")
grid = rng.uniform(-1.2, 1.2, (2, 20, 50, 2)).astype("f")
np.save(sys.argv[1], op.sample(images, grid, "bicubic", "reflection", False).numpy())
print(native.instruction_set())
"""


def _sampled_with(name: str, root: Path, folder: Path) -> tuple[str, np.ndarray]:
    """The instruction set that a process used which was told to use that one, and its crops."""
    environment = {**os.environ, "STN_TF_INSTRUCTION_SET": name, "PYTHONPATH": str(root)}
    path = folder / f"{name}.npy"
    done = subprocess.run(
        [sys.executable, "-c", _SAMPLE, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip(), np.load(path)


@pytest.fixture(scope="module")
def widest(root: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return _sampled_with("avx512", root, tmp_path_factory.mktemp("widest"))[1]


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["baseline", "avx2"])
def test_every_instruction_set_agrees(
    limit: str, widest: np.ndarray, root: Path, tmp_path: Path
) -> None:
    used, values = _sampled_with(limit, root, tmp_path)
    assert used in (limit, "baseline")
    np.testing.assert_allclose(values, widest, atol=1e-4)
