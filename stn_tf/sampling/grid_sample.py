"""Reads images at the points of a grid."""

import json
from typing import Any

import tensorflow as tf

from stn_tf import shape
from stn_tf.sampling import choice, native, portable

KERNELS = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")
# The attribute `_implements` of the sampler's function in every graph: this name, a space, JSON.
# The exporter finds the sampler by it.
IMPLEMENTS = "stn_tf.grid_sample"


def grid_sample(
    images: Any,
    grid: Any,
    *,
    kernel: str = "bilinear",
    padding: str = "zeros",
    align_corners: bool = False,
) -> tf.Tensor:
    """Returns the images as seen at the points of the grid.

    Convention: the grid holds (x, y) or (x, y, z), normalised. With `align_corners=True`, -1 and 1
    are the centres of the first and last pixel, `(x + 1) / 2 * (W - 1)`; with False they are the
    outer edges, `((x + 1) * W - 1) / 2`. Values equal ONNX GridSample's. NaN and infinite
    points read as outside, and a point within float rounding of a pixel's centre is on it, so
    that the identity is exact. Arithmetic is float32 or wider, whatever the images are, and so
    are the sums of gradients; the compiled sampler rounds points in float64 to float32, unless
    the images are float64. The gradient at a pixel's centre is the one to its right; that of
    `nearest` to the grid is zero.

    Args:
        images: `[N, H, W, C]` or `[N, D, H, W, C]`; float16, bfloat16, float32 or float64.
        grid: `[N, h, w, 2]` or `[N, d, h, w, 3]`; float32 or float64.
        kernel: `bilinear` (trilinear for volumes), `nearest` (half to even) or `bicubic`
            (alpha -0.75).
        padding: What lies outside: `zeros`, `border` or `reflection`.
        align_corners: See the convention.

    Returns:
        `[N, h, w, C]` or `[N, d, h, w, C]` in the dtype of `images`.

    Raises:
        ValueError: If a rank, the last dimension of `grid`, the batch sizes or a choice is wrong.
        TypeError: If `images` or `grid` has a dtype other than those above.

    Source: Jaderberg et al. 2015, eqs. 3 to 7, https://arxiv.org/abs/1506.02025; ONNX
        GridSample-20.
    """
    check_options(kernel, padding)
    images, grid = tf.convert_to_tensor(images), tf.convert_to_tensor(grid)
    _check(images, grid)
    rounded = native.points_for(images, grid)
    if choice.use_native(images, rounded):
        return native.sample(images, rounded, kernel, padding, bool(align_corners))

    def sample(images: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
        return portable.sample(images, grid, kernel, padding, bool(align_corners))

    if tf.executing_eagerly() or choice.in_xla():
        return sample(images, grid)
    semantics = json.dumps(
        {"kernel": kernel, "padding": padding, "align_corners": bool(align_corners)}
    )
    # A function of its own in the graph: found again, as one unit, in a SavedModel.
    named = f"{IMPLEMENTS} {semantics}"
    return tf.function(sample, experimental_implements=named, autograph=False)(images, grid)


def check_options(kernel: str, padding: str) -> None:
    """Raises unless the sampler has that kernel and that padding."""
    shape.check_choice("kernel", kernel, KERNELS)
    shape.check_choice("padding", padding, PADDINGS)


def _check(images: tf.Tensor, grid: tf.Tensor) -> None:
    shape.check_floating("images", images)
    shape.check_floating("grid", grid)
    if grid.dtype.size < 4:
        raise TypeError(
            f"`grid` must be float32 or float64, but it is {grid.dtype.name}, which cannot tell "
            "neighbouring pixels apart. Compute the grid in float32."
        )
    layout = "[N, H, W, C] or [N, D, H, W, C]"
    shape.check_rank("images", images, (4, 5), layout)
    if images.shape.rank is None:
        raise ValueError(f"`images` must have a known rank ({layout}), but its rank is unknown.")
    points = "[N, h, w, 2]" if images.shape.rank == 4 else "[N, d, h, w, 3]"
    shape.check_rank("grid", grid, (images.shape.rank,), f"{points} for such images")
    shape.check_trailing("grid", grid, (images.shape.rank - 2,))
    if not images.shape[:1].is_compatible_with(grid.shape[:1]):
        raise ValueError(
            "`images` and `grid` must have the same batch size, but they have "
            f"{images.shape[0]} and {grid.shape[0]}. Repeat the smaller with tf.repeat."
        )
