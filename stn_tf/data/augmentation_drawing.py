"""What is drawn for each image of a batch: the parameters of geometry and colour."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import tensorflow as tf

from stn_tf.data import keys

if TYPE_CHECKING:
    from stn_tf.data.augmentation import Augmentation

Parameters = dict[str, tf.Tensor]
# Returns a setting's numbers, `[count]` or `[count, columns]`, from low to high.
_Between = Callable[[int | slice, float, float], tf.Tensor]

# What a key is used for.
_UNIFORM, _NORMAL = range(2)
# All uniform numbers are drawn at once: each draw of TensorFlow is 30 operations, which take a
# second to trace for all settings. Each setting has columns of its own, so that its numbers are the
# same whatever else is set; a few are free for settings to come.
_COLUMNS = 40
_FLIP, _SHEAR, _TRANSLATE, _CROP_PLACE, _ERASE_PLACE = (slice(i, i + 2) for i in range(0, 10, 2))
_PERSPECTIVE = slice(10, 18)
_ROTATE, _SCALE, _CROP_AREA, _CROP_ASPECT = range(18, 22)
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, _GRAYSCALE = range(22, 27)
_ERASE, _ERASE_AREA, _ERASE_ASPECT, _ERASE_LEVEL = range(27, 31)
# Least and greatest, of an erased rectangle; Zhong et al. 2017, https://arxiv.org/abs/1708.04896.
_ERASE_ASPECTS = (0.3, 1 / 0.3)


# AutoGraph, which `tf.data` applies to all that it calls, takes seconds to find nothing to convert.
@tf.autograph.experimental.do_not_convert
def draw(settings: "Augmentation", key: tf.Tensor, count: int) -> Parameters:
    """Draws what happens to each of `count` images.

    Args:
        settings: What may happen.
        key: int64 `[2]`.
        count: How many images.

    Returns:
        Of these, what is set. Of the geometry, in the terms of `augmentation_geometry`: `flip`
        `[count, 2]`, 1 or -1 for x and y; `turn` `[count, 2]`, the cosine and sine of an angle;
        `scale` `[count]`; `shear` `[count, 2]`, tangents; `translation` `[count, 2]`; `crop`
        `[count, 4]`: the shares of width and height that are seen, and the middle of them;
        `corners` `[count, 4, 2]`, the moves of the view's corners; `bend` `[count, k * k, 2]`,
        those of the spline's control points. Of the colours: `brightness` `[count]`, added; the
        factors `contrast` and `saturation`, `[count]`, the latter 0 for what becomes grey; `hue`
        `[count, 2]`, the cosine and sine of an angle. `erase` `[count, 5]`: left, top, right and
        bottom of a rectangle in shares of the sides, all 0 for none, and the grey that it becomes.
    """
    numbers = keys.uniform(keys.fold(key, _UNIFORM), (count, _COLUMNS), 0.0, 1.0)

    def between(column: int | slice, low: float, high: float) -> tf.Tensor:
        return low + (high - low) * numbers[:, column]

    drawn = _geometry(settings, key, count, between) | _colours(settings, between)
    if settings.erase:
        sides = _sides(
            between(_ERASE_AREA, *settings.erase_area),
            _spread(between, _ERASE_ASPECT, _ERASE_ASPECTS),
        )
        start = numbers[:, _ERASE_PLACE] * (1.0 - sides)
        chosen = numbers[:, _ERASE, tf.newaxis] < settings.erase
        box = tf.where(chosen, tf.concat([start, start + sides], axis=1), 0.0)
        drawn["erase"] = tf.concat([box, numbers[:, _ERASE_LEVEL, tf.newaxis]], axis=1)
    return drawn


def _geometry(
    settings: "Augmentation", key: tf.Tensor, count: int, between: _Between
) -> Parameters:
    drawn: Parameters = {}
    if settings.flip != "none":
        sides = tf.where(between(_FLIP, 0, 1) < 0.5, -1.0, 1.0)
        either = {"horizontal": [True, False], "vertical": [False, True], "both": [True, True]}
        drawn["flip"] = tf.where(either[settings.flip], sides, 1.0)
    if settings.rotate:
        angle = math.radians(settings.rotate)
        drawn["turn"] = _cosine_and_sine(between(_ROTATE, -angle, angle))
    if settings.scale != (1, 1):
        drawn["scale"] = _spread(between, _SCALE, settings.scale)
    if settings.shear:
        angle = math.radians(settings.shear)
        drawn["shear"] = tf.tan(between(_SHEAR, -angle, angle))
    # Normalised coordinates are 2 wide.
    if settings.translate:
        most = 2.0 * settings.translate
        drawn["translation"] = between(_TRANSLATE, -most, most)
    if settings.crop != (1, 1):
        area = between(_CROP_AREA, *settings.crop)
        shares = _sides(area, _spread(between, _CROP_ASPECT, settings.crop_aspect))
        place = between(_CROP_PLACE, -1.0, 1.0)
        drawn["crop"] = tf.concat([shares, place * (1.0 - shares)], axis=1)
    if settings.perspective:
        most = 2.0 * settings.perspective
        drawn["corners"] = tf.reshape(between(_PERSPECTIVE, -most, most), [count, 4, 2])
    if settings.elastic:
        moves = keys.normal(keys.fold(key, _NORMAL), (count, settings.elastic_points**2, 2))
        drawn["bend"] = 2.0 * settings.elastic * moves
    return drawn


def _colours(settings: "Augmentation", between: _Between) -> Parameters:
    drawn: Parameters = {}
    if settings.brightness:
        drawn["brightness"] = between(_BRIGHTNESS, -settings.brightness, settings.brightness)
    if settings.contrast:
        drawn["contrast"] = between(_CONTRAST, 1 - settings.contrast, 1 + settings.contrast)
    if settings.saturation or settings.grayscale:
        factor = between(_SATURATION, 1 - settings.saturation, 1 + settings.saturation)
        grey = between(_GRAYSCALE, 0, 1) < settings.grayscale
        drawn["saturation"] = tf.where(grey, 0.0, factor)
    if settings.hue:
        most = 2.0 * math.pi * settings.hue
        drawn["hue"] = _cosine_and_sine(between(_HUE, -most, most))
    return drawn


def _cosine_and_sine(angles: tf.Tensor) -> tf.Tensor:
    """Returns both, `[count, 2]`.

    Here and not where they are applied: TensorFlow computes them with other bits at the end of a
    vector, so that a slice of a batch would not have the batch's.
    """
    return tf.stack([tf.cos(angles), tf.sin(angles)], axis=1)


def _spread(between: _Between, column: int, limits: tuple[float, float]) -> tf.Tensor:
    """Returns factors, as often below as above the geometric mean of the limits."""
    return tf.exp(between(column, *map(math.log, limits)))


def _sides(area: tf.Tensor, aspect: tf.Tensor) -> tf.Tensor:
    """Returns width and height `[count, 2]`, in shares of the image's, none beyond it."""
    return tf.minimum(tf.sqrt(tf.stack([area * aspect, area / aspect], axis=1)), 1.0)
