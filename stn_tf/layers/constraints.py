"""What the parameters of theta may be."""

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from stn_tf.geometry import Transform

# A number fixes a parameter; (low, high) keeps it between the two, None being no end.
Constraint: TypeAlias = float | Sequence[float | None]
Checked: TypeAlias = dict[str, float | tuple[float, float]]

# Where training starts at the nearest from an end, as a share of the range: on the end itself there
# is no slope. From the only end this is a distance.
_MARGIN = 0.02


def checked_constraints(constraints: Mapping[str, Constraint], transform: Transform) -> Checked:
    """Returns the constraints as numbers, or raises ValueError."""
    checked: Checked = {}
    for name, value in constraints.items():
        if name not in transform.parameters:
            raise ValueError(
                f"`constraints` must name parameters of {transform.name!r} "
                f"({', '.join(transform.parameters)}), but it names {name!r}."
            )
        if isinstance(value, numbers.Real):
            if not math.isfinite(value):
                raise ValueError(
                    f"`constraints[{name!r}]` must be a finite number to fix the parameter, but "
                    f"it is {value!r}. Give (low, high) to bound it."
                )
            checked[name] = float(value)
            continue
        ends = _ends(value)
        if ends is None or not ends[0] < ends[1]:
            raise ValueError(
                f"`constraints[{name!r}]` must be a number or (low, high) with low < high, "
                f"but it is {value!r}."
            )
        checked[name] = ends
    return checked


def _ends(value: Constraint) -> tuple[float, float] | None:
    try:
        low, high = value  # type: ignore[misc]
    except (TypeError, ValueError):
        return None
    return -math.inf if low is None else float(low), math.inf if high is None else float(high)


class Ranges:
    """Any numbers -> parameters that keep constraints, and the way back.

    Between two ends lies a sigmoid, beyond a single one a softplus.

    Attributes:
        free: How many parameters are not fixed.
    """

    def __init__(self, constraints: Checked, parameters: Sequence[str]) -> None:
        limits = [constraints.get(name) for name in parameters]
        self._fixed = np.array([isinstance(limit, float) for limit in limits])
        self._values = np.array([v if isinstance(v, float) else 0.0 for v in limits], np.float32)
        ends = [v if isinstance(v, tuple) else (-math.inf, math.inf) for v in limits]
        low, high = np.array(ends, np.float32).T
        self._above, self._below = np.isfinite(low), np.isfinite(high)
        # Finite where they are not used, so that no gradient meets 0 * inf.
        self._low, self._high = np.where(self._above, low, 0), np.where(self._below, high, 0)
        self.free = int(np.sum(~self._fixed))
        if self.free == 0:
            raise ValueError("`constraints` must leave a parameter free, but they fix all of them.")

    def theta(self, raw: tf.Tensor) -> tf.Tensor:
        """Returns parameters `[M, P]` for any numbers `[M, free]`."""
        # Spread the free values over all parameters; the fixed ones read any column.
        column = np.where(self._fixed, 0, np.cumsum(~self._fixed) - 1)
        value = tf.gather(raw, column, axis=1)
        if np.any(self._above & self._below):
            between = self._low + (self._high - self._low) * tf.sigmoid(value)
        else:
            between = value
        beyond = value
        if np.any(self._above != self._below):
            distance = tf.nn.softplus(value)
            beyond = tf.where(self._above, self._low + distance, self._high - distance)
        bounded = tf.where(self._above & self._below, between, beyond)
        value = tf.where(self._above | self._below, bounded, value)
        return tf.where(self._fixed, self._values, value)

    def bias(self, theta: np.ndarray) -> np.ndarray:
        """Returns the numbers `[M, free]` of thetas `[M, P]`, or as near as their ranges allow."""
        theta = theta.astype(np.float64)
        span = np.where(self._above & self._below, self._high - self._low, 1.0)
        share = np.clip((theta - self._low) / span, _MARGIN, 1.0 - _MARGIN)
        between = np.log(share / (1.0 - share))
        distance = np.where(self._above, theta - self._low, self._high - theta)
        distance = np.where(distance > 0.0, distance, _MARGIN)
        beyond = distance + np.log(-np.expm1(-distance))  # The inverse of softplus.
        bounded = np.where(self._above & self._below, between, beyond)
        bias: np.ndarray = np.where(self._above | self._below, bounded, theta)[:, ~self._fixed]
        return bias
