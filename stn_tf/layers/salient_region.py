"""Where a convolutional network's features are strong: a window around what it sees."""

from typing import Any

import keras
import tensorflow as tf

# Of the strongest: what is less above the mean may be rounding alone.
_ROUNDING = 1e-5
# Of a variance, in squares of half an image: less than any pixel, and its root has a gradient.
_LEAST_VARIANCE = 1e-6


@keras.saving.register_keras_serializable("stn_tf")
class SalientRegion(keras.layers.Layer):
    """The window of an image in which feature maps are stronger than on average.

    Pre-trained networks respond to objects, so that transformers can start where these are. The
    layer has no weights. The sum of all maps' magnitudes, less its mean and where it is above
    that, is taken for a distribution over the image; its mean is the window's centre, and the
    window reaches some deviations to each side. Windows are square in normalised coordinates and
    stay inside the image; where all maps are even, the window is the whole of it.

    Args:
        reach: Half of a side, in deviations of the distribution. A uniform square has 1.73.

    Call: features `[N, h, w, F]`, any float -> `[N, 3]`, float32: the centre x and y, in which the
    image's edges are -1 and 1, and half of the side, in (0, 1]. Attention's theta for this window
    is (half, x, y).

    Raises:
        ValueError: If `reach` is not above 0, or features have no height and width.

    Source: the selection of descriptors of Wei et al. 2017, https://arxiv.org/abs/1604.04994; the
    moments are ours.
    """

    def __init__(self, reach: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not reach > 0:
            raise ValueError(f"`reach` must be above 0, but it is {reach!r}.")
        self.reach = reach

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if len(input_shape) != 4:
            raise ValueError(f"Features must be [N, h, w, F], but they are {list(input_shape)}.")

    def call(self, features: tf.Tensor) -> tf.Tensor:
        strength = tf.reduce_sum(tf.abs(tf.cast(features, tf.float32)), axis=-1)
        mean = tf.reduce_mean(strength, axis=[1, 2], keepdims=True)
        slack = _ROUNDING * tf.reduce_max(strength, axis=[1, 2], keepdims=True)
        above = tf.nn.relu(strength - mean - slack)
        total = tf.reduce_sum(above, axis=[1, 2])
        size = tf.shape(above)
        centre, variances = [], []
        for axis in (2, 1):
            places = _centres(size[axis])
            shares = tf.math.divide_no_nan(tf.reduce_sum(above, axis=3 - axis), total[:, None])
            place = tf.reduce_sum(shares * places, axis=1)
            centre.append(place)
            variances.append(tf.reduce_sum(shares * tf.square(places - place[:, None]), axis=1))
        variance = 0.5 * tf.add_n(variances)
        half = self.reach * tf.sqrt(tf.maximum(variance, _LEAST_VARIANCE))
        half = tf.where(total > 0, tf.minimum(half, 1.0), 1.0)
        inside = [tf.clip_by_value(place, half - 1.0, 1.0 - half) for place in centre]
        return tf.stack([*inside, half], axis=1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], 3)

    def compute_output_spec(self, features: keras.KerasTensor) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(features.shape), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "reach": self.reach}


def _centres(length: tf.Tensor) -> tf.Tensor:
    """The centres of cells from edge to edge."""
    return (2.0 * tf.range(tf.cast(length, tf.float32)) + 1.0) / tf.cast(length, tf.float32) - 1.0
