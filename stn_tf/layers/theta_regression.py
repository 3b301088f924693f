"""From features to theta: the last layer of a localisation network."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.geometry import Transform, get_transform

Constraint = float | Sequence[float]


@keras.saving.register_keras_serializable("stn_tf")
class ThetaRegression(keras.layers.Layer):
    """Flattens features and regresses theta, starting at the identity whatever the features are.

    The weights start at zero and the bias at the identity, as the paper has it. The arithmetic
    is float32 also under a mixed precision policy: theta decides where pixels are read.

    Args:
        transform: The family of theta: a name of `stn_tf.geometry.TRANSFORMS`.
        constraints: What some parameters may be, by name (`get_transform(...).parameters`): a
            number fixes one, a pair (low, high) keeps one between the two, smoothly.
        initial_theta: Where training starts instead of the identity.
        transform_options: The options of the transform: `control_points`, `regularisation`.

    Call: features `[N, ...]`, any float -> theta `[N, *theta]`, float32.

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
        **kwargs: Any,
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.transform = get_transform(transform, **(transform_options or {}))
        self.constraints = _checked(constraints or {}, self.transform)
        start = self.transform.identity() if initial_theta is None else initial_theta
        self.initial_theta = np.asarray(start, np.float32)
        if self.initial_theta.shape != self.transform.theta_shape:
            raise ValueError(
                f"`initial_theta` must have shape {list(self.transform.theta_shape)}, "
                f"but it has shape {list(self.initial_theta.shape)}."
            )
        limits = [self.constraints.get(name) for name in self.transform.parameters]
        self._fixed = np.array([isinstance(limit, float) for limit in limits])
        self._bounded = np.array([isinstance(limit, tuple) for limit in limits])
        self._low = np.array([_end(limit, 0) for limit in limits], np.float32)
        self._high = np.array([_end(limit, 1) for limit in limits], np.float32)
        free = int(np.sum(~self._fixed))
        if free == 0:
            raise ValueError("`constraints` must leave a parameter free, but they fix all of them.")
        start = self._unsquash(self.initial_theta.reshape(-1))[~self._fixed]
        self.flatten = keras.layers.Flatten()
        self.dense = keras.layers.Dense(
            free,
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(start.tolist()),
            dtype="float32",
            name="theta",
        )

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
            # Spread the free values over all parameters; the fixed ones read any column.
            column = np.where(self._fixed, 0, np.cumsum(~self._fixed) - 1)
            spread = tf.gather(raw, column, axis=1)
            squashed = self._low + (self._high - self._low) * tf.sigmoid(spread)
            raw = tf.where(self._fixed, self._low, tf.where(self._bounded, squashed, spread))
        return tf.reshape(raw, [-1, *self.transform.theta_shape])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], *self.transform.theta_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "transform": self.transform.name,
            "transform_options": self.transform.options(),
            "constraints": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in self.constraints.items()
            },
            "initial_theta": self.initial_theta.tolist(),
        }

    def _unsquash(self, theta: np.ndarray) -> np.ndarray:
        """The bias with which training starts at theta, or as near to it as the ranges allow."""
        span = np.where(self._bounded, self._high - self._low, 1.0)
        share = np.clip((theta - self._low) / span, 0.02, 0.98)
        bias: np.ndarray = np.where(self._bounded, np.log(share / (1.0 - share)), theta)
        return bias


def _end(limit: float | tuple[float, float] | None, end: int) -> float:
    if limit is None:
        return 0.0
    return limit[end] if isinstance(limit, tuple) else limit


def _checked(
    constraints: Mapping[str, Constraint], transform: Transform
) -> dict[str, float | tuple[float, float]]:
    checked: dict[str, float | tuple[float, float]] = {}
    for name, value in constraints.items():
        if name not in transform.parameters:
            raise ValueError(
                f"`constraints` must name parameters of {transform.name!r} "
                f"({', '.join(transform.parameters)}), but it names {name!r}."
            )
        if isinstance(value, int | float):
            checked[name] = float(value)
            continue
        ends = tuple(float(end) for end in value)
        if len(ends) != 2 or not ends[0] < ends[1]:
            raise ValueError(
                f"`constraints[{name!r}]` must be a number or (low, high) with low < high, "
                f"but it is {value!r}."
            )
        checked[name] = (ends[0], ends[1])
    return checked
