"""The families by name, and what can be done with any of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from stn_tf import shape
from stn_tf.geometry.affine import Affine
from stn_tf.geometry.attention import Attention
from stn_tf.geometry.points import matrix_product
from stn_tf.geometry.projective import Projective
from stn_tf.geometry.similarity import Similarity
from stn_tf.geometry.thin_plate_spline import ThinPlateSpline
from stn_tf.geometry.transform import MatrixTransform, Transform
from stn_tf.geometry.volume import Affine3D

_FAMILIES: dict[str, type[Transform]] = {
    family.name: family
    for family in (Affine, Attention, Similarity, Projective, ThinPlateSpline, Affine3D)
}
TRANSFORMS = tuple(_FAMILIES)


def get_transform(transform: str | Transform, **options: Any) -> Transform:
    """Returns the transform of that name: one of `TRANSFORMS`.

    Args:
        transform: A name, or a `Transform`, which is returned as it is.
        **options: `control_points` and `regularisation` of `tps`.

    Raises:
        ValueError: If there is no such transform.
        TypeError: If the transform has no such option.
    """
    if isinstance(transform, Transform):
        if options:
            raise TypeError(
                f"Options {sorted(options)} need the name of a transform, not a Transform."
            )
        return transform
    family = _FAMILIES[shape.check_choice("transform", transform, TRANSFORMS)]
    try:
        return family(**options)
    except TypeError:
        raise TypeError(f"Transform {transform!r} does not take {sorted(options)}.") from None


def is_ours(transform: Transform) -> bool:
    """Whether its name and options tell everything: it is one of `TRANSFORMS`, no subclass."""
    return type(transform) is _FAMILIES.get(transform.name)


def identity(transform: str | Transform = "affine", **options: Any) -> np.ndarray:
    """Returns the theta, float32 without batch dimensions, that maps every point to itself."""
    return get_transform(transform, **options).identity()


def compose(first: Any, second: Any, *, transform: str | Transform = "affine") -> tf.Tensor:
    """Returns the theta that maps points as `first` and then `second` does.

    Warping an image by `second` and the result by `first` shows the same as warping it once by
    the composition: thetas map output to input.

    Args:
        first: `[A1, ..., An, *theta]`, float.
        second: The same family; its batch dimensions broadcast with those of `first`.
        transform: A family that is closed under composition: any but `tps`.

    Raises:
        ValueError: If the family is not closed, or a shape is wrong.
    """
    family = _matrix_family(transform, "composition")
    return family.from_matrix(matrix_product(family.matrix(second), family.matrix(first)))


def inverse(theta: Any, *, transform: str | Transform = "affine") -> tf.Tensor:
    """Returns the theta that undoes `theta`.

    Args:
        theta: `[A1, ..., An, *theta]`, float, invertible (a scale of zero is not).
        transform: A family that is closed under inversion: any but `tps`.

    Raises:
        ValueError: If the family is not closed, or the shape is wrong.
        tf.errors.InvalidArgumentError: If a theta is not invertible.
    """
    family = _matrix_family(transform, "inversion")
    return family.from_matrix(tf.linalg.inv(family.matrix(theta)))


def corners_pixels(
    theta: Any,
    input_size: Sequence[int] | tf.Tensor,
    *,
    transform: str | Transform = "affine",
    align_corners: bool = False,
    **options: Any,
) -> tf.Tensor:
    """Returns where the corners of the output lie in the input.

    Convention: pixels, (x, y), the centre of the first pixel being (0, 0). The output's corners
    are its outer edges, so that the identity gives -0.5 and size - 0.5; with `align_corners`
    they are the centres of its outer pixels: 0 and size - 1.

    Args:
        theta: `[A1, ..., An, *theta]`, float.
        input_size: Height and width of the input in pixels (depth first for volumes); also as an
            integer tensor, where they are known only when a graph runs.
        transform: The family of theta.
        align_corners: See the convention.
        **options: The options of the family.

    Returns:
        `[A1, ..., An, 4, 2]`: top left, top right, bottom right, bottom left of the output. For
        volumes `[A1, ..., An, 8, 3]`: those four at the front, then at the back.

    Raises:
        ValueError: If a shape or size is wrong.
    """
    family = get_transform(transform, **options)
    size = shape.check_dynamic_size("input_size", input_size, family.dimensions)
    square = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
    points = np.array(
        square if family.dimensions == 2 else [(*xy, z) for z in (-1.0, 1.0) for xy in square]
    )
    corners = family.map_points(theta, points)
    if tf.is_tensor(size):
        extent = tf.cast(size[::-1], corners.dtype)
    else:
        extent = tf.constant(size[::-1], corners.dtype)
    if align_corners:
        return (corners + 1.0) * ((extent - 1.0) / 2.0)
    return ((corners + 1.0) * extent - 1.0) / 2.0


def _matrix_family(transform: str | Transform, what: str) -> MatrixTransform:
    family = get_transform(transform)
    if not isinstance(family, MatrixTransform):
        closed = [name for name, kind in _FAMILIES.items() if issubclass(kind, MatrixTransform)]
        raise ValueError(
            f"`transform` must be closed under {what}: one of {', '.join(closed)}; "
            f"but it is {family.name!r}."
        )
    return family
