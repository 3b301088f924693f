"""A loss on the transformation, where the data knows it."""

from typing import Any

import keras
import tensorflow as tf

_LEAST_LENGTH = 1e-6


@keras.saving.register_keras_serializable("stn_tf")
class ThetaLoss(keras.losses.Loss):
    """Compares affine thetas component by component: rotation, scale, shear and place.

    A matrix is a rotation of a shear of scales, `[[a, b], [c, d]] = R(angle) [[sx, m], [0, sy]]`,
    with `sx = |(a, c)|`, `sy = (a d - b c) / sx` and `m = (a b + c d) / sx`. The loss is

        weight * mean(2 (1 - cos(angle difference)) + differences of sx, sy, m, tx, ty, squared)

    so that a wrong scale cannot make up for a wrong angle, as it can where matrices are subtracted.

    Args:
        weight: The factor of the loss.

    Call: thetas `[N, 2, 3]`, the true ones and those of a transformer (of any shape of six).
    """

    def __init__(self, weight: float = 1.0, name: str = "theta_loss", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.weight = float(weight)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        (angle, scales), (other_angle, other_scales) = map(_components, (y_true, y_pred))
        turned = 1.0 - tf.reduce_sum(angle * other_angle, -1)
        return self.weight * (
            2.0 * turned + tf.reduce_sum(tf.math.squared_difference(scales, other_scales), -1)
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight": self.weight}


def _components(theta: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (cosine, sine) `[N, 2]` of the angle, and sx, sy, m, tx, ty `[N, 5]`."""
    a, b, x, c, d, y = tf.unstack(tf.reshape(tf.cast(theta, tf.float32), [-1, 6]), axis=-1)
    length = tf.sqrt(tf.maximum(a * a + c * c, _LEAST_LENGTH))
    scales = [length, (a * d - b * c) / length, (a * b + c * d) / length, x, y]
    return tf.stack([a / length, c / length], -1), tf.stack(scales, -1)
