"""The compiled sampler, for checked arguments; `stn_tf.native` loads it."""

from collections.abc import Sequence
from typing import TypeGuard

import tensorflow as tf

from stn_tf.geometry.affine import Affine
from stn_tf.geometry.projective import Projective
from stn_tf.geometry.transform import MatrixTransform, Transform


def sample(
    images: tf.Tensor, grid: tf.Tensor, kernel: str, padding: str, align_corners: bool
) -> tf.Tensor:
    """Samples as `stn_tf.sampling.grid_sample` describes."""
    from stn_tf.native import operations

    return operations().stn_tf_grid_sample(
        images, grid, kernel=kernel, padding=padding, align_corners=align_corners
    )


def points_for(images: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Returns points, or thetas, no wider than the kernels take them for such images."""
    return points if images.dtype == tf.float64 else tf.cast(points, tf.float32)


def fuses(family: Transform) -> TypeGuard[MatrixTransform]:
    """Whether the grid of a transform need not be made: it is computed while sampling."""
    return family.dimensions == 2 and isinstance(family, MatrixTransform)


def matrix(family: MatrixTransform, theta: tf.Tensor) -> tuple[str, tf.Tensor]:
    """Returns the transform that computes the family's maps, and its theta.

    `affine` with `[..., 2, 3]`, or `projective` with `[..., 8]`.
    """
    # A subclass may mean something else by its theta.
    if type(family) in (Affine, Projective):
        return family.name, theta
    matrices = family.matrix(theta)
    if family.affine:
        return "affine", matrices[..., :2, :]
    return "projective", Projective().from_matrix(matrices)


def warp(
    images: tf.Tensor,
    theta: tf.Tensor,
    size: Sequence[int],
    family: MatrixTransform,
    kernel: str,
    padding: str,
    align_corners: bool,
) -> tf.Tensor:
    """Samples as `stn_tf.sampling.warp` describes, without a grid in memory."""
    from stn_tf.native import operations

    transform, entries = matrix(family, theta)
    output = operations().stn_tf_warp(
        images,
        entries,
        kernel=kernel,
        padding=padding,
        align_corners=align_corners,
        transform=transform,
        height=size[0],
        width=size[1],
    )
    # The operation's sizes are attributes, which its shape function cannot read.
    output.set_shape([images.shape[0], *size, images.shape[-1]])
    return output
