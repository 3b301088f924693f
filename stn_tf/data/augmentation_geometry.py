"""Where augmented images are read: all geometry in one map from the output to the stored image.

Convention: points are normalised (x, y), -1 and 1 being the outer edges; maps go from the output
to the stored image. Turns and shears are of the stored image's pixels, whatever its aspect.

A point of the output is bent (elastic), then moved with the view's corners (perspective), scaled
and mirrored, sheared, turned, and put where the crop is.
"""

from typing import TYPE_CHECKING

import tensorflow as tf

from stn_tf.data.augmentation_bending import bent_points, perspective, through
from stn_tf.data.augmentation_drawing import Parameters
from stn_tf.sampling import grid_sample, warp
from stn_tf.sampling.choice import preferred_sampler

if TYPE_CHECKING:
    from stn_tf.data.augmentation import Augmentation

# How many stored pixels lie between two of the output before what is between them is averaged; and
# the widest average.
_SPARSE, _WIDEST = 2.0, 9


@tf.autograph.experimental.do_not_convert
def apply(
    settings: "Augmentation", images: tf.Tensor, parameters: Parameters, size: tuple[int, int]
) -> tf.Tensor:
    """Reads uint8 images `[n, h, w, c]` as drawn: float32 `[n, *size, c]` in 0..255."""
    values = tf.cast(images, tf.float32)
    stored = tuple(images.shape[1:3])
    theta = affine(parameters, tf.shape(images)[0], stored)
    sides = [old / new for old, new in zip(stored, size, strict=True)]
    values = _averaged(values, theta, sides, settings.scale[0])
    transform = "affine"
    if "corners" in parameters:
        theta, transform = perspective(theta, parameters["corners"]), "projective"
    with preferred_sampler():
        if "bend" not in parameters:
            return warp(values, theta, size, transform=transform, padding=settings.fill)
        grid = through(theta, bent_points(parameters["bend"], size))
        return grid_sample(values, grid, padding=settings.fill)


def _averaged(
    values: tf.Tensor, theta: tf.Tensor, sides: list[float], least_scale: float
) -> tf.Tensor:
    """Blurs the images that shrink to half or less, against patterns that are not in them.

    `sides` are how many stored pixels a pixel of the output is high and wide.
    """
    most = max(sides) / least_scale
    if most < _SPARSE:
        return values
    area = theta[:, 0, 0] * theta[:, 1, 1] - theta[:, 0, 1] * theta[:, 1, 0]
    steps = tf.sqrt(tf.abs(area) * (sides[0] * sides[1]))[:, tf.newaxis, tf.newaxis, tf.newaxis]
    blurred = values
    for window in range(3, _WIDEST + 1, 2):
        if most >= window - 1:
            average = tf.nn.avg_pool2d(values, window, 1, "SAME")
            blurred = tf.where(steps >= window - 1, average, blurred)
    return blurred


def affine(parameters: Parameters, count: tf.Tensor | int, stored: tuple[int, int]) -> tf.Tensor:
    """Returns theta `[n, 2, 3]` of all but elastic and perspective."""
    one, zero = tf.ones([count]), tf.zeros([count])

    def drawn(name: str, *still: tf.Tensor) -> list[tf.Tensor]:
        return tf.unstack(parameters[name], axis=1) if name in parameters else list(still)

    cosine, sine = drawn("turn", one, zero)
    shear_x, shear_y = drawn("shear", zero, zero)
    flip_x, flip_y = drawn("flip", one, one)
    move_x, move_y = drawn("translation", zero, zero)
    width, height, x, y = drawn("crop", one, one, zero, zero)
    scale = parameters.get("scale", one)
    across, down = flip_x * width / scale, flip_y * height / scale
    # In pixels a turn is a turn: normalised, what goes from one axis to the other changes unit.
    aspect = stored[0] / stored[1]
    rows = [
        [
            (cosine - sine * shear_y) * across,
            (cosine * shear_x - sine) * down * aspect,
            x + move_x,
        ],
        [
            (sine + cosine * shear_y) * across / aspect,
            (sine * shear_x + cosine) * down,
            y + move_y,
        ],
    ]
    return tf.stack([tf.stack(row, axis=1) for row in rows], axis=1)
