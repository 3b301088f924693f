"""A loss on grids that leave the image."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from stn_tf.geometry import Transform
from stn_tf.layers.saved_transform import load_transform, transform_config
from stn_tf.layers.warp import Shape

# Points an axis: enough to see where a smooth grid lies.
_POINTS = 8


@keras.saving.register_keras_serializable("stn_tf")
class OutsidePenalty(keras.layers.Layer):
    """Adds a loss where theta looks outside of the image; crops pass through unchanged.

        crops, theta = SpatialTransformer(localisation, "affine", return_theta=True)(images)
        crops = OutsidePenalty("affine", 0.1)([crops, theta])

    The loss is `weight * mean(max(|x| - 1, 0)^2)` over the coordinates x of 8 points an axis, which
    is zero for grids within -1..1. It is added in training only.

    Args:
        transform: The family of theta: a name of `stn_tf.geometry.TRANSFORMS`, or a `Transform`.
        weight: The factor of the loss, at least 0.
        transform_options: The options of the transform: `control_points`, `regularisation`.

    Call: (crops, theta `[N, *theta]` or `[N, K, *theta]`) -> crops.

    Raises:
        ValueError: If there is no such transform, or the weight is negative.
    """

    def __init__(
        self,
        transform: str | Transform,
        weight: float,
        *,
        transform_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not weight >= 0:
            raise ValueError(f"`weight` must be at least 0, but it is {weight!r}.")
        self.transform = load_transform(transform, transform_options)
        self.weight = float(weight)

    def call(self, inputs: Sequence[tf.Tensor], training: bool | None = None) -> tf.Tensor:
        crops, theta = inputs
        if training and self.weight:
            grid = self.transform.grid(theta, (_POINTS,) * self.transform.dimensions)
            self.add_loss(self.weight * tf.reduce_mean(tf.nn.relu(tf.abs(grid) - 1.0) ** 2))
        return tf.identity(crops)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **transform_config(self.transform),
            "weight": self.weight,
        }
