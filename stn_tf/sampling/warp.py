"""Transforms images by theta: the grid and the sampling in one call."""

import json
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from stn_tf import shape
from stn_tf.geometry import Transform, get_transform
from stn_tf.geometry.transform import MatrixTransform
from stn_tf.sampling import choice, native
from stn_tf.sampling.grid_sample import check_options, grid_sample

_FLOATING = (tf.float16, tf.bfloat16, tf.float32, tf.float64)
# The attribute `_implements` of the function of a warp by matrices in every graph: this name, a
# space, JSON. It takes images and what `native.matrix` returns, and has a `grid_sample` inside.
IMPLEMENTS = "stn_tf.warp"


def warp(
    images: Any,
    theta: Any,
    size: Sequence[int],
    *,
    transform: str | Transform = "affine",
    kernel: str = "bilinear",
    padding: str = "zeros",
    align_corners: bool = False,
    **options: Any,
) -> tf.Tensor:
    """Returns the images as the transforms theta show them.

    Convention: theta maps output to input, as in `stn_tf.geometry`; pixels as in `grid_sample`.

    Args:
        images: `[N, H, W, C]`, or `[N, D, H, W, C]` for `affine-3d`; floating-point.
        theta: `[N, *theta]`, float: the parameters of `transform`, one set an image.
        size: Output height and width in pixels (depth first for volumes).
        transform: One of `stn_tf.geometry.TRANSFORMS`.
        kernel: `bilinear`, `nearest` or `bicubic`.
        padding: `zeros`, `border` or `reflection`.
        align_corners: Whether -1 and 1 are centres of pixels rather than the image's edges.
        **options: The options of the transform: `control_points`, `regularisation` of `tps`.

    Returns:
        `[N, *size, C]` in the dtype of `images`.

    Raises:
        ValueError: If a shape, size or choice is wrong.
        TypeError: If a dtype is not floating-point.

    Source: Jaderberg et al. 2015, section 3, https://arxiv.org/abs/1506.02025.
    """
    check_options(kernel, padding)
    family = get_transform(transform, **options)
    images, theta = tf.convert_to_tensor(images), family.check(theta)
    if not (
        native.fuses(family)
        and images.shape.rank == 4
        and theta.shape[: -len(family.theta_shape)].is_compatible_with(images.shape[:1])
        and images.dtype in _FLOATING
    ):
        grid = family.grid(theta, size, align_corners=align_corners)
        return grid_sample(
            images, grid, kernel=kernel, padding=padding, align_corners=align_corners
        )
    size = shape.check_size("size", size, family.dimensions)
    if choice.use_native(images, theta):
        return native.warp(images, theta, size, family, kernel, padding, bool(align_corners))
    return _by_matrix(images, theta, size, family, kernel, padding, bool(align_corners))


def _by_matrix(
    images: tf.Tensor,
    theta: tf.Tensor,
    size: Sequence[int],
    family: MatrixTransform,
    kernel: str,
    padding: str,
    align_corners: bool,
) -> tf.Tensor:
    """The same in stock operations."""
    semantics: dict[str, Any] = {
        "kernel": kernel,
        "padding": padding,
        "align_corners": align_corners,
    }
    name, matrix = native.matrix(family, theta)

    def sample(images: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
        grid = get_transform(name).grid(matrix, size, align_corners=align_corners)
        return grid_sample(images, grid, **semantics)

    if tf.executing_eagerly() or choice.in_xla():
        return sample(images, matrix)
    # As `grid_sample` does: a function of its own, by which an exporter knows that there need not
    # be a grid.
    text = json.dumps({"transform": family.name, "size": list(size), **semantics})
    return tf.function(sample, experimental_implements=f"{IMPLEMENTS} {text}")(images, matrix)
