"""From features to theta: the last layer of a localisation network."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf import shape
from stn_tf.geometry import Transform
from stn_tf.layers.constraints import Constraint, Ranges, checked_constraints
from stn_tf.layers.saved_transform import load_transform, transform_config

# Weights up to which all products are made at once, rather than one number of theta after another:
# faster where they are few, but it takes memory for each image.
_AT_ONCE = 2**14


@keras.saving.register_keras_serializable("stn_tf")
class ThetaRegression(keras.layers.Layer):
    """Flattens features and regresses theta, starting at the identity whatever the features are.

    The weights start at zero and the bias at the identity, as the paper has it. The arithmetic
    is float32 also under a mixed precision policy, and on graphics cards that multiply matrices
    with 10 bits: theta decides where pixels are read.

    Args:
        transform: The family of theta: a name of `stn_tf.geometry.TRANSFORMS`, or a `Transform`.
        constraints: What some parameters may be, by name (`get_transform(...).parameters`): a
            number fixes one, a pair (low, high) keeps one between the two, smoothly; an end may
            be infinite or None.
        initial_theta: Where training starts instead of the identity: `[*theta]`, or
            `[crops, *theta]` for a start of its own for each crop.
        transform_options: The options of the transform: `control_points`, `regularisation`.
        crops: How many thetas an image has; None for one, without a dimension for them.

    Call: features `[N, ...]`, any float -> theta `[N, *theta]`, or `[N, crops, *theta]`, float32.

    Raises:
        ValueError: If a constraint names no parameter, or its range is empty.

    Source: Jaderberg et al. 2015, section 3.1 and appendix A.4.
    """

    def __init__(
        self,
        transform: str | Transform = "affine",
        *,
        constraints: Mapping[str, Constraint] | None = None,
        initial_theta: Any = None,
        transform_options: Mapping[str, Any] | None = None,
        crops: int | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.transform = load_transform(transform, transform_options)
        self.crops = None if crops is None else shape.check_count("crops", crops)
        self.constraints = checked_constraints(constraints or {}, self.transform)
        self._ranges = Ranges(self.constraints, self.transform.parameters)
        theta = self.transform.identity() if initial_theta is None else initial_theta
        self.initial_theta = np.asarray(theta, np.float32)
        one, every = self.transform.theta_shape, self.theta_shape
        if self.initial_theta.shape not in (one, every):
            allowed = " or ".join(str(list(shape)) for shape in dict.fromkeys([one, every]))
            raise ValueError(
                f"`initial_theta` must have shape {allowed}, "
                f"but it has shape {list(self.initial_theta.shape)}."
            )
        start = np.broadcast_to(self.initial_theta, every).reshape(self.crops or 1, -1)
        bias = self._ranges.bias(start)
        self.flatten = keras.layers.Flatten()
        self.dense = _FullPrecisionDense(
            bias.size,
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(bias.ravel().tolist()),
            dtype="float32",
            name="theta",
        )

    @property
    def theta_shape(self) -> tuple[int, ...]:
        """The dimensions of an image's theta."""
        return (*(() if self.crops is None else (self.crops,)), *self.transform.theta_shape)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if None in input_shape[1:]:
            raise ValueError(
                "The localisation must give features of a known size, but it gives "
                f"{list(input_shape)}. End it with a pooling or give the model a fixed input size."
            )
        self.dense.build((input_shape[0], math.prod(size or 0 for size in input_shape[1:])))

    def call(self, features: tf.Tensor) -> tf.Tensor:
        raw = self.dense(self.flatten(features))
        if self.constraints:
            raw = self._ranges.theta(tf.reshape(raw, [-1, self._ranges.free]))
        return tf.reshape(raw, [-1, *self.theta_shape])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.theta_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **transform_config(self.transform),
            # JSON has no infinity.
            "constraints": {
                name: [end if math.isfinite(end) else None for end in value]
                if isinstance(value, tuple)
                else value
                for name, value in self.constraints.items()
            },
            "initial_theta": self.initial_theta.tolist(),
            "crops": self.crops,
        }


class _FullPrecisionDense(keras.layers.Dense):
    """Sums of products, which no graphics card computes in TF32, in place of a matrix product."""

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        columns = tf.transpose(tf.convert_to_tensor(self.kernel))
        if math.prod(columns.shape) <= _AT_ONCE:
            products = tf.reduce_sum(inputs[:, tf.newaxis, :] * columns, axis=-1)
        else:
            sums = [tf.reduce_sum(inputs * column, axis=-1) for column in tf.unstack(columns)]
            products = tf.stack(sums, axis=-1)
        return products + tf.convert_to_tensor(self.bias)
