"""From theta to a sampling grid: pure functions.

    affine_grid, attention_grid, similarity_grid, projective_grid, thin_plate_spline_grid,
    affine_grid_3d     the grid of a theta of each family
    identity           the theta that changes nothing
    compose, inverse   thetas of one after another, and of the way back
    corners_pixels     where the output's corners lie in the input
    get_transform      a family by name, for code that works with any: TRANSFORMS
    Transform          what a family is, and MatrixTransform, for families of your own

Convention of all: theta maps output points to input points (a backward warp), points are (x, y) in
[-1, 1] with y down.
"""

from stn_tf.geometry.affine import affine_grid
from stn_tf.geometry.attention import attention_grid
from stn_tf.geometry.families import (
    TRANSFORMS,
    compose,
    corners_pixels,
    get_transform,
    identity,
    inverse,
)
from stn_tf.geometry.projective import projective_grid
from stn_tf.geometry.similarity import similarity_grid
from stn_tf.geometry.thin_plate_spline import thin_plate_spline_grid
from stn_tf.geometry.transform import MatrixTransform, Transform
from stn_tf.geometry.volume import affine_grid_3d

__all__ = [
    "TRANSFORMS",
    "MatrixTransform",
    "Transform",
    "affine_grid",
    "affine_grid_3d",
    "attention_grid",
    "compose",
    "corners_pixels",
    "get_transform",
    "identity",
    "inverse",
    "projective_grid",
    "similarity_grid",
    "thin_plate_spline_grid",
]
