"""What theta means: scale, rotation and shift where it has them, or else its own numbers."""

import dataclasses

import numpy as np

from stn_tf.geometry import MatrixTransform, Transform

_WORDS = {"angle": "rotation, °", "tx": "shift x", "ty": "shift y"}
_LEAST = 1e-12


@dataclasses.dataclass(frozen=True, eq=False)
class ThetaPart:
    """A number that tells something of a transformation.

    Attributes:
        name: In words, with its unit.
        values: `[M, K]`, of M images and K crops.
        identity: What it is where nothing is transformed.
    """

    name: str
    values: np.ndarray
    identity: float


def theta_parts(transform: Transform, thetas: np.ndarray) -> list[ThetaPart]:
    """Returns theta in parts that have a name.

    Convention: as of theta, from the crop to the image, both in -1..1. A scale below 1 zooms in; a
    positive rotation turns the window clockwise on the screen; a shift of 1 is half the image.

    An affine map is read as rotation x skew x scale: the crop's upper edge is as long as `scale x`
    says and turned by the rotation, its left edge leans by the skew, and `scale y` is negative
    where the crop is a mirror image.

    Args:
        transform: The family.
        thetas: `[M, K, P]`.
    """
    thetas = np.asarray(thetas, np.float64)
    if _is_plane_affine(transform) and "scale" not in transform.parameters:
        matrix = np.asarray(transform.matrix(_shaped(transform, thetas)))  # type: ignore[attr-defined]
        return _decomposed(matrix.astype(np.float64))
    identity = np.ravel(transform.identity()).astype(np.float64)
    parts = []
    for number, name in enumerate(transform.parameters):
        values, still = thetas[..., number], float(identity[number])
        if name == "angle":
            values = np.rad2deg(np.arctan2(np.sin(values), np.cos(values)))
        parts.append(ThetaPart(_WORDS.get(name, name), values, still))
    return parts


def hardly_varies(parts: list[ThetaPart]) -> bool:
    """Whether a transformer does nearly the same to all images."""
    deviations = [
        part.values.std(axis=0).max() / (100.0 if "°" in part.name else 1.0)
        for part in parts
        if part.values.size
    ]
    return bool(deviations) and max(deviations) < 0.01


def _is_plane_affine(transform: Transform) -> bool:
    return isinstance(transform, MatrixTransform) and transform.affine and transform.dimensions == 2


def _shaped(transform: Transform, thetas: np.ndarray) -> np.ndarray:
    return thetas.reshape(*thetas.shape[:2], *transform.theta_shape)


def _decomposed(matrix: np.ndarray) -> list[ThetaPart]:
    """Of matrices `[M, K, 3, 3]`."""
    (xx, xy, tx), (yx, yy, ty) = (
        [matrix[..., row, column] for column in range(3)] for row in range(2)
    )
    wide = np.hypot(xx, yx)
    safe = np.maximum(wide, _LEAST)
    high = (xx * yy - xy * yx) / safe
    leaning = (xx * xy + yx * yy) / safe
    values = {
        "scale x": (wide, 1.0),
        "scale y": (high, 1.0),
        "rotation, °": (np.rad2deg(np.arctan2(yx, xx)), 0.0),
        "skew, °": (np.rad2deg(np.arctan2(leaning, np.abs(high))), 0.0),
        "shift x": (tx, 0.0),
        "shift y": (ty, 0.0),
    }
    return [ThetaPart(name, value, still) for name, (value, still) in values.items()]
