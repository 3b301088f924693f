"""`grid_sample` beyond what tests/conformance runs over every combination: edges and errors."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import stn_tf
from stn_tf.sampling.grid_sample import IMPLEMENTS, KERNELS, PADDINGS
from tests import reference
from tests.sampling.samplers import SAMPLERS, every_pair_with_samplers

COMBINATIONS = list(itertools.product(KERNELS, PADDINGS, [False, True]))


def identity_grid(size: tuple[int, ...], align_corners: bool) -> np.ndarray:
    return reference.base_grid(size, align_corners).astype(np.float32)[np.newaxis]


@settings(max_examples=40)
@given(
    size=st.lists(st.integers(1, 6), min_size=2, max_size=3),
    combination=st.sampled_from(COMBINATIONS),
    seed=st.integers(0, 2**31),
    reach=st.sampled_from([1.0, 2.0, 5.0]),
)
def test_grid_sample_random(
    size: list[int], combination: tuple[str, str, bool], seed: int, reach: float
) -> None:
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(2, *size, 3))
    grid = rng.uniform(-reach, reach, (2, *([2] * (len(size) - 1)), 3, len(size)))
    expected = reference.grid_sample(images, grid, *combination)
    kernel, padding, align_corners = combination
    sampled = stn_tf.grid_sample(
        images, grid, kernel=kernel, padding=padding, align_corners=align_corners
    )
    assert sampled.dtype == tf.float64
    np.testing.assert_allclose(sampled, expected, atol=1e-9)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("width", [1, 2, 3, 28, 42, 60, 224, 1000, 1921])
@pytest.mark.parametrize("kernel", KERNELS)
def test_grid_sample_identity_is_exact(
    kernel: str, width: int, align_corners: bool, rng: np.random.Generator
) -> None:
    image = rng.normal(size=(1, 3, width, 2)).astype(np.float32)
    sampled = stn_tf.grid_sample(
        image, identity_grid((3, width), align_corners), kernel=kernel, align_corners=align_corners
    )
    np.testing.assert_array_equal(sampled, image)


@pytest.mark.parametrize("padding", PADDINGS)
def test_grid_sample_half_pixel_shift_preset(padding: str) -> None:
    image = np.array([1.0, 2.0, 4.0, 8.0], np.float32).reshape(1, 1, 4, 1)
    grid = identity_grid((1, 4), False) + np.array([2 / 4 / 2, 0], np.float32)
    beyond = {"zeros": 4.0, "border": 8.0, "reflection": 8.0}[padding]
    sampled = stn_tf.grid_sample(image, grid, padding=padding)
    np.testing.assert_allclose(np.ravel(sampled), [1.5, 3.0, 6.0, beyond])


def test_grid_sample_keeps_the_last_row_and_column() -> None:
    image = np.ones((1, 4, 5, 1), np.float32)
    for align_corners in (False, True):
        grid = identity_grid((4, 5), align_corners)
        sampled = stn_tf.grid_sample(image, grid, align_corners=align_corners)
        np.testing.assert_array_equal(sampled, image)


def test_grid_sample_masks_each_tap_by_itself() -> None:
    # A quarter of a pixel outside: three quarters of the pixel remain.
    image = np.ones((1, 1, 4, 1), np.float32)
    for edge in (-1, 1):
        x = edge * (3 + 2 * 0.25) / 3
        sampled = stn_tf.grid_sample(image, np.array([[[[x, 0.0]]]]), align_corners=True)
        np.testing.assert_allclose(np.ravel(sampled), [0.75])


def test_grid_sample_nearest_rounds_half_to_even() -> None:
    image = np.arange(6, dtype=np.float32).reshape(1, 1, 6, 1)
    x = (np.array([0.5, 1.5, 2.5, 3.5, 4.5]) * 2 + 1) / 6 - 1
    grid = np.stack([x, np.zeros(5)], axis=-1)[np.newaxis, np.newaxis]
    sampled = stn_tf.grid_sample(image, grid, kernel="nearest")
    np.testing.assert_array_equal(np.ravel(sampled), [0, 2, 2, 4, 4])


@every_pair_with_samplers(
    kernel=KERNELS,
    padding=PADDINGS,
    align_corners=[False, True],
    value=[np.nan, np.inf, -np.inf, 1e30, -1e30, 3.4e38],
)
def test_grid_sample_reads_no_point_as_outside(
    kernel: str, padding: str, align_corners: bool, value: float
) -> None:
    image = np.full((1, 3, 4, 2), 7.0, np.float32)
    grid = np.zeros((1, 2, 2, 2), np.float32)
    grid[0, 0, 0] = [value, 0.0]
    grid[0, 1, 1] = [0.0, value]
    grid = tf.constant(grid)
    with tf.GradientTape() as tape:
        tape.watch(grid)
        sampled = stn_tf.grid_sample(
            image, grid, kernel=kernel, padding=padding, align_corners=align_corners
        )
    outside = 0.0 if padding == "zeros" else 7.0
    np.testing.assert_allclose(sampled[0, 0, 0], [outside] * 2, rtol=1e-6)
    np.testing.assert_allclose(sampled[0, 1, 1], [outside] * 2, rtol=1e-6)
    assert np.all(np.isfinite(tape.gradient(sampled, grid)))


def test_grid_sample_gradient_at_a_pixel_is_to_its_right() -> None:
    image = np.array([1.0, 2.0, 5.0, 11.0], np.float32).reshape(1, 1, 4, 1)
    grid = tf.constant(identity_grid((1, 4), True))
    with tf.GradientTape() as tape:
        tape.watch(grid)
        sampled = stn_tf.grid_sample(image, grid, align_corners=True)
    slope = tape.gradient(sampled, grid)[0, 0, :, 0]
    # One unit of x is (W - 1) / 2 pixels; beyond the last pixel there is zero.
    np.testing.assert_allclose(slope, np.array([1.0, 3.0, 6.0, -11.0]) * 1.5, rtol=1e-6)


def test_grid_sample_gradient_of_a_constant_image_is_zero() -> None:
    grid = tf.constant(identity_grid((5, 5), False)[:, 1:-1, 1:-1])
    with tf.GradientTape() as tape:
        tape.watch(grid)
        sampled = stn_tf.grid_sample(tf.ones([1, 5, 5, 1]), grid)
    np.testing.assert_allclose(tape.gradient(sampled, grid), np.zeros(grid.shape), atol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
@pytest.mark.parametrize("kernel", KERNELS)
def test_grid_sample_half_precision(kernel: str, dtype: tf.DType, rng: np.random.Generator) -> None:
    images = tf.cast(rng.normal(size=(2, 9, 9, 3)), dtype)
    grid = rng.uniform(-1.1, 1.1, (2, 5, 5, 2)).astype(np.float32)
    expected = reference.grid_sample(
        tf.cast(images, tf.float64).numpy(), grid, kernel, "zeros", False
    )
    sampled = stn_tf.grid_sample(images, grid, kernel=kernel)
    assert sampled.dtype == dtype
    # Only the rounding of the output: half a unit in its last place.
    step = float(np.finfo(dtype.as_numpy_dtype).eps) if dtype == tf.float16 else 2.0**-7
    np.testing.assert_allclose(tf.cast(sampled, tf.float64), expected, rtol=step, atol=1e-5)


# In graphs both samplers are the portable one, and tracing bicubic slopes of slopes takes a while.
@pytest.mark.parametrize(
    ("sampler", "kernel", "in_graph"),
    [
        *itertools.product(SAMPLERS, ["bilinear", "bicubic"], [False]),
        ("default", "bilinear", True),
        pytest.param("portable", "bilinear", True, marks=pytest.mark.full),
        pytest.param("default", "bicubic", True, marks=pytest.mark.full),
        pytest.param("portable", "bicubic", True, marks=pytest.mark.full),
    ],
    indirect=["sampler"],
)
def test_grid_sample_second_derivative(
    kernel: str, in_graph: bool, rng: np.random.Generator
) -> None:
    images = tf.constant(rng.normal(size=(1, 5, 5, 1)))
    grid = tf.constant(rng.uniform(-0.7, 0.7, (1, 1, 2, 2)))

    def slope(grid: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(grid)
            total = tf.reduce_sum(stn_tf.grid_sample(images, grid, kernel=kernel) ** 2)
        return tape.gradient(total, grid)

    function = tf.function(slope) if in_graph else slope
    computed, numeric = tf.test.compute_gradient(function, [grid], delta=1e-5)
    assert np.abs(numeric[0]).max() > 1.0
    np.testing.assert_allclose(computed[0], numeric[0], rtol=1e-4, atol=1e-4)


@every_pair_with_samplers(kernel=KERNELS, jit_compile=[False, True])
def test_grid_sample_gradients_in_graphs(
    kernel: str, jit_compile: bool, rng: np.random.Generator
) -> None:
    """In a graph the sampler is a function with a gradient of its own."""

    def gradients(images: tf.Tensor, grid: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([images, grid])
            total = tf.reduce_sum(stn_tf.grid_sample(images, grid, kernel=kernel) ** 2)
        return tape.gradient(total, [images, grid])

    images = tf.constant(rng.normal(size=(2, 5, 6, 2)).astype(np.float32))
    grid = tf.constant(rng.uniform(-1.2, 1.2, (2, 3, 4, 2)).astype(np.float32))
    traced = tf.function(gradients, jit_compile=jit_compile)(images, grid)
    for computed, expected in zip(traced, gradients(images, grid), strict=True):
        np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_grid_sample_unknown_dimensions(jit_compile: bool, rng: np.random.Generator) -> None:
    signature = [tf.TensorSpec([None] * 4), tf.TensorSpec([None, None, None, 2])]
    traced = tf.function(stn_tf.grid_sample, input_signature=signature, jit_compile=jit_compile)
    for batch, height, width in ((1, 4, 6), (3, 5, 2)):
        images = rng.normal(size=(batch, height, width, 2)).astype(np.float32)
        grid = rng.uniform(-1.2, 1.2, (batch, 3, 2, 2)).astype(np.float32)
        expected = reference.grid_sample(images, grid, "bilinear", "zeros", False)
        np.testing.assert_allclose(traced(images, grid), expected, atol=1e-5)


@pytest.mark.parametrize("in_graph", [False, True])
def test_grid_sample_empty_batch(in_graph: bool) -> None:
    function = tf.function(stn_tf.grid_sample) if in_graph else stn_tf.grid_sample
    assert function(tf.zeros([0, 4, 5, 3]), tf.zeros([0, 2, 6, 2])).shape == (0, 2, 6, 3)
    assert function(tf.zeros([2, 4, 5, 3]), tf.zeros([2, 0, 6, 2])).shape == (2, 0, 6, 3)


def test_grid_sample_is_one_annotated_function_of_a_graph() -> None:
    graph = tf.function(
        lambda images, grid: stn_tf.grid_sample(images, grid, padding="border")
    ).get_concrete_function(tf.TensorSpec([None, 4, 4, 1]), tf.TensorSpec([None, 2, 2, 2]))
    attributes = [
        function.attr["_implements"].s.decode()
        for function in graph.graph.as_graph_def().library.function
    ]
    assert attributes == [
        f'{IMPLEMENTS} {{"kernel": "bilinear", "padding": "border", "align_corners": false}}'
    ]


def test_grid_sample_is_no_function_of_its_own_under_xla() -> None:
    # XLA compiled the gradient of such a function anew for each new value.
    @tf.function(jit_compile=True)
    def sample(images: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
        return stn_tf.grid_sample(images, grid)

    graph = sample.get_concrete_function(tf.zeros([1, 4, 4, 1]), tf.zeros([1, 2, 2, 2])).graph
    assert not [op for op in graph.get_operations() if op.type.endswith("PartitionedCall")]


IMAGES = np.zeros((2, 4, 4, 1), np.float32)
GRID = np.zeros((2, 3, 3, 2), np.float32)


@pytest.mark.parametrize(
    ("images", "grid", "options", "error", "message"),
    [
        (IMAGES[0], GRID, {}, ValueError, "`images` must be [N, H, W, C] or [N, D, H, W, C], but "
         "it has shape [4, 4, 1]."),
        (IMAGES, GRID[0], {}, ValueError, "`grid` must be [N, h, w, 2] for such images, but it "
         "has shape [3, 3, 2]."),
        (IMAGES, GRID[..., :1], {}, ValueError, "`grid` must have shape [..., 2], but it has "
         "shape [2, 3, 3, 1]."),
        (IMAGES, GRID[:1], {}, ValueError, "`images` and `grid` must have the same batch size, "
         "but they have 2 and 1. Repeat the smaller with tf.repeat."),
        (IMAGES.astype(np.uint8), GRID, {}, TypeError, "`images` must hold floating-point "
         "numbers, but its dtype is uint8. Convert it, for example with tf.cast(images, "
         "tf.float32)."),
        (IMAGES, GRID.astype(np.float16), {}, TypeError, "`grid` must be float32 or float64, but "
         "it is float16, which cannot tell neighbouring pixels apart. Compute the grid in "
         "float32."),
        (IMAGES, GRID, {"kernel": "linear"}, ValueError, "`kernel` must be one of 'bilinear', "
         "'nearest', 'bicubic', but it is 'linear'."),
        (IMAGES, GRID, {"padding": "wrap"}, ValueError, "`padding` must be one of 'zeros', "
         "'border', 'reflection', but it is 'wrap'."),
    ],
)  # fmt: skip
def test_grid_sample_exception_raised(
    images: np.ndarray, grid: np.ndarray, options: dict, error: type, message: str
) -> None:
    for function in (stn_tf.grid_sample, tf.function(stn_tf.grid_sample)):
        with pytest.raises(error) as raised:
            function(tf.constant(images), tf.constant(grid), **options)
        assert message in str(raised.value)


def test_warp_is_grid_and_sampling(rng: np.random.Generator) -> None:
    images = rng.normal(size=(2, 6, 7, 3)).astype(np.float32)
    theta = rng.normal(size=(2, 2, 3)).astype(np.float32)
    grid = reference.grid("affine", theta, (4, 5), True)
    expected = reference.grid_sample(images, grid, "bicubic", "reflection", True)
    warped = stn_tf.warp(
        images, theta, (4, 5), kernel="bicubic", padding="reflection", align_corners=True
    )
    np.testing.assert_allclose(warped, expected, atol=1e-4)


def test_warp_takes_the_options_of_its_transform(rng: np.random.Generator) -> None:
    images = rng.normal(size=(1, 6, 6, 1)).astype(np.float32)
    offsets = rng.normal(size=(1, 9, 2)).astype(np.float32) * 0.1
    stiff = stn_tf.warp(
        images, offsets, (6, 6), transform="tps", control_points=3, regularisation=2.0
    )
    grid = stn_tf.thin_plate_spline_grid(offsets, (6, 6), regularisation=2.0)
    np.testing.assert_array_equal(stiff, stn_tf.grid_sample(images, grid))
    with pytest.raises(ValueError, match=r"must have shape \[..., 16, 2\]"):
        stn_tf.warp(images, offsets, (6, 6), transform="tps")
