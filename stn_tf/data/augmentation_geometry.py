"""Where augmented images are read: all geometry in one map from the output to the stored image.

Convention: points are normalised (x, y), -1 and 1 being the outer edges; maps go from the output
to the stored image. Turns and shears are of the stored image's pixels, whatever its aspect.

A point of the output is bent (elastic), then moved with the view's corners (perspective), scaled
and mirrored, sheared, turned, and put where the crop is.
"""

import math
from typing import TYPE_CHECKING

import tensorflow as tf

from stn_tf.data import keys
from stn_tf.data.augmentation_bending import bent_points, perspective, through
from stn_tf.sampling import grid_sample, warp
from stn_tf.sampling.choice import preferred_sampler

if TYPE_CHECKING:
    from stn_tf.data.augmentation import Augmentation

# What a key is used for: each setting has numbers of its own, whatever else is set.
_FLIP, _ROTATE, _SCALE, _SHEAR, _TRANSLATE, _PERSPECTIVE, _ELASTIC = range(7)
_CROP_AREA, _CROP_ASPECT, _CROP_PLACE = range(7, 10)

# How many stored pixels lie between two of the output before what is between them is averaged; and
# the widest average.
_SPARSE, _WIDEST = 2.0, 9

Parameters = dict[str, tf.Tensor]


# AutoGraph, which `tf.data` applies to all that it calls, takes seconds to find nothing to convert.
@tf.autograph.experimental.do_not_convert
def draw(settings: "Augmentation", key: tf.Tensor, count: int) -> Parameters:
    """Draws the geometry of `count` images.

    Returns:
        Of these, what is set: `flip` `[count, 2]`, 1 or -1 for x and y; `turn` `[count, 2]`, the
        cosine and sine of an angle; `scale` `[count]`; `shear` `[count, 2]`, tangents;
        `translation` `[count, 2]`, normalised; `crop` `[count, 4]`: the shares of width and height
        that are seen, and the middle of them (x, y); `corners` `[count, 4, 2]`, normalised moves of
        the view's corners; `bend` `[count, k * k, 2]`, those of the spline's control points.
    """
    drawn: Parameters = {}
    if settings.flip != "none":
        sides = tf.where(keys.uniform(keys.fold(key, _FLIP), (count, 2), 0.0, 1.0) < 0.5, -1.0, 1.0)
        either = {"horizontal": [True, False], "vertical": [False, True], "both": [True, True]}
        drawn["flip"] = tf.where(either[settings.flip], sides, 1.0)
    if settings.rotate:
        angle = math.radians(settings.rotate)
        angles = keys.uniform(keys.fold(key, _ROTATE), (count,), -angle, angle)
        drawn["turn"] = cosine_and_sine(angles)
    if settings.scale != (1, 1):
        drawn["scale"] = log_uniform(keys.fold(key, _SCALE), count, settings.scale)
    if settings.shear:
        angle = math.radians(settings.shear)
        drawn["shear"] = tf.tan(keys.uniform(keys.fold(key, _SHEAR), (count, 2), -angle, angle))
    if settings.translate:
        most = 2.0 * settings.translate
        drawn["translation"] = keys.uniform(keys.fold(key, _TRANSLATE), (count, 2), -most, most)
    if settings.crop != (1, 1):
        area = keys.uniform(keys.fold(key, _CROP_AREA), (count,), *settings.crop)
        aspect = log_uniform(keys.fold(key, _CROP_ASPECT), count, settings.crop_aspect)
        shares = tf.minimum(tf.sqrt(tf.stack([area * aspect, area / aspect], axis=1)), 1.0)
        place = keys.uniform(keys.fold(key, _CROP_PLACE), (count, 2), -1.0, 1.0)
        drawn["crop"] = tf.concat([shares, place * (1.0 - shares)], axis=1)
    if settings.perspective:
        most = 2.0 * settings.perspective
        shape = (count, 4, 2)
        drawn["corners"] = keys.uniform(keys.fold(key, _PERSPECTIVE), shape, -most, most)
    if settings.elastic:
        moves = keys.normal(keys.fold(key, _ELASTIC), (count, settings.elastic_points**2, 2))
        drawn["bend"] = 2.0 * settings.elastic * moves
    return drawn


def cosine_and_sine(angles: tf.Tensor) -> tf.Tensor:
    """Returns both, `[count, 2]`.

    Where they are drawn: TensorFlow computes them with other bits at the end of a vector, so that a
    slice of a batch would not have the batch's.
    """
    return tf.stack([tf.cos(angles), tf.sin(angles)], axis=1)


def log_uniform(key: tf.Tensor, count: int, limits: tuple[float, float]) -> tf.Tensor:
    """Returns factors, `[count]`, as often below as above the geometric mean of the limits."""
    return tf.exp(keys.uniform(key, (count,), *map(math.log, limits)))


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
