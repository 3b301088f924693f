"""Transforms images by theta: the grid and the sampling in one call."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from stn_tf import shape
from stn_tf.geometry import Transform, get_transform
from stn_tf.geometry.affine import Affine
from stn_tf.geometry.families import is_ours
from stn_tf.geometry.projective import Projective
from stn_tf.geometry.transform import MatrixTransform
from stn_tf.sampling import choice, footprint, native
from stn_tf.sampling.grid_sample import check_options, grid_sample

_FLOATING = (tf.float16, tf.bfloat16, tf.float32, tf.float64)
# The attribute `_implements` of the function of a warp by matrices in every graph: this name, a
# space, JSON. It takes images and what `native.matrix` returns, and has a `grid_sample` inside. The
# `transform` in the JSON is a name of ours: a family of a user's is the `affine` or `projective`
# that its matrices are.
IMPLEMENTS = "stn_tf.warp"


def warp(
    images: Any,
    theta: Any,
    size: Sequence[int] | tf.Tensor,
    *,
    transform: str | Transform = "affine",
    kernel: str = "bilinear",
    padding: str = "zeros",
    align_corners: bool = False,
    antialias: int = 1,
    **options: Any,
) -> tf.Tensor:
    """Returns the images as the transforms theta show them.

    Convention: theta maps output to input, as in `stn_tf.geometry`; pixels as in `grid_sample`.

    Where matrices tell the whole map and the size is known, no grid is made in memory. Several
    crops of an image are one `grid_sample`: the image is not repeated.

    Args:
        images: `[N, H, W, C]`, or `[N, D, H, W, C]` for `affine-3d`; floating-point.
        theta: `[N, *theta]`, float: the parameters of `transform`, one set an image; or
            `[N, K, *theta]` for K crops of each. The compiled sampler rounds float64 to float32,
            unless the images are float64.
        size: Output height and width in pixels (depth first for volumes); also as an integer
            tensor, where they are known only when a graph runs.
        transform: One of `stn_tf.geometry.TRANSFORMS`, or a `Transform`.
        kernel: `bilinear`, `nearest` or `bicubic`.
        padding: `zeros`, `border` or `reflection`.
        align_corners: Whether -1 and 1 are centres of pixels rather than the image's edges.
        antialias: K samples along each axis, spread over what a pixel covers of the input where it
            covers more than a pixel, and averaged; enough for shrinking K times. 1 takes one, as
            the paper does, whose bilinear samples alias where a transform shrinks. Nothing is
            blurred elsewhere: `stn_tf.sampling.footprint` has the formula.
        **options: The options of the transform: `control_points`, `regularisation` of `tps`.

    Returns:
        `[N, *size, C]`, or `[N, K, *size, C]`, in the dtype of `images`.

    Raises:
        ValueError: If a shape, size or choice is wrong.
        TypeError: If a dtype is not floating-point.

    Source: Jaderberg et al. 2015, section 3, https://arxiv.org/abs/1506.02025.
    """
    check_options(kernel, padding)
    family = get_transform(transform, **options)
    images, theta = tf.convert_to_tensor(images), family.check(theta)
    shape.check_floating("images", images)
    rank = len(family.theta_shape)
    one = ", ".join(map(str, family.theta_shape))
    shape.check_rank("theta", theta, (rank + 1, rank + 2), f"[N, {one}] or [N, K, {one}]")
    size = shape.check_dynamic_size("size", size, family.dimensions)
    count, corners = shape.check_count("antialias", antialias), bool(align_corners)
    semantics: dict[str, Any] = {"kernel": kernel, "padding": padding, "align_corners": corners}
    if (
        native.fuses(family)
        and not tf.is_tensor(size)
        and images.shape.rank == 4
        and theta.shape[:-rank].is_compatible_with(images.shape[:1])
        and images.dtype in _FLOATING
        # XLA would compile a sampler for each of the samples.
        and (count == 1 or (family.affine and not choice.in_xla()))
    ):
        show = _by_matrix(images, theta, size, family, semantics)
        matrix = native.matrix(family, theta)[1]
        if count == 1:
            return show(matrix)
        shifts = footprint.shifts(family, theta, size, _size_of(images), corners, count)
        return footprint.average([show(_translated(matrix, shift)) for shift in shifts])
    if count == 1:
        return sample_crops(images, family.grid(theta, size, align_corners=corners), **semantics)
    grids = footprint.grids(family, theta, size, _size_of(images), corners, count)
    # One sampler for all of them, as for several crops.
    samples = sample_crops(images, tf.concat(grids, axis=1), **semantics)
    return footprint.average(tf.split(samples, len(grids), axis=1))


def sample_crops(images: tf.Tensor, grid: tf.Tensor, **semantics: Any) -> tf.Tensor:
    """Samples at one grid an image as `grid_sample` does, or at grids `[N, K, ..., d]`.

    K grids of an image are one grid, K times as high.
    """
    known, rank = grid.shape, images.shape.rank
    if rank is None or known.rank != rank + 1:
        return grid_sample(images, grid, **semantics)
    sizes = tf.shape(grid)
    tall = tf.reshape(grid, tf.concat([sizes[:1], sizes[1:2] * sizes[2:3], sizes[3:]], axis=0))
    height = None if None in known[1:3] else known[1] * known[2]
    tall.set_shape([known[0], height, *known[3:]])
    sampled = grid_sample(images, tall, **semantics)
    crops = tf.reshape(sampled, tf.concat([sizes[:-1], tf.shape(images)[-1:]], axis=0))
    crops.set_shape([*known[:-1], images.shape[-1]])
    return crops


def _by_matrix(
    images: tf.Tensor,
    theta: tf.Tensor,
    size: Sequence[int],
    family: MatrixTransform,
    semantics: dict[str, Any],
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns what samples at the matrices that `native.matrix` gives, without a grid in memory."""
    name = native.matrix(family, theta)[0]
    kind: MatrixTransform = Affine() if name == "affine" else Projective()
    if choice.use_native(images, native.points_for(images, theta)):
        return lambda matrix: native.warp(
            images, native.points_for(images, matrix), size, kind, **semantics
        )

    def sample(images: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
        grid = kind.grid(matrix, size, align_corners=semantics["align_corners"])
        return grid_sample(images, grid, **semantics)

    if tf.executing_eagerly() or choice.in_xla():
        return lambda matrix: sample(images, matrix)
    # As `grid_sample` does: a function of its own, by which an exporter knows that there need not
    # be a grid.
    label = family.name if is_ours(family) else name
    text = json.dumps({"transform": label, "size": list(size), **semantics})
    named = f"{IMPLEMENTS} {text}"
    function = tf.function(sample, experimental_implements=named, autograph=False)
    return lambda matrix: function(images, matrix)


def _translated(matrix: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Affine matrices `[N, 2, 3]`, each moved by `[N, 1, 1, 2]`."""
    moved = matrix[..., 2:] + tf.reshape(shift, [-1, 2, 1])
    return tf.concat([matrix[..., :2], moved], axis=-1)


def _size_of(images: tf.Tensor) -> Sequence[int] | tf.Tensor:
    size = images.shape[1:-1]
    return tuple(size) if size.is_fully_defined() else tf.shape(images)[1:-1]
