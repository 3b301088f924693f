"""A family of transforms in a layer's configuration."""

from collections.abc import Mapping
from typing import Any

import keras

from stn_tf.geometry import Transform, get_transform
from stn_tf.geometry.families import is_ours


def transform_config(transform: Transform) -> dict[str, Any]:
    """Returns `transform` and `transform_options` as a layer's `get_config` has them.

    Raises:
        ValueError: If it is a family of the user's that Keras could not load again.
    """
    if is_ours(transform):
        return {"transform": transform.name, "transform_options": transform.options()}
    family = type(transform)
    if keras.saving.get_registered_object(keras.saving.get_registered_name(family)) is not family:
        raise ValueError(
            f"`transform` must be of stn-tf or registered with Keras to be saved, but "
            f"{family.__qualname__} is neither. Decorate the class with "
            '@keras.saving.register_keras_serializable("my_package").'
        )
    return {"transform": keras.saving.serialize_keras_object(transform), "transform_options": {}}


def load_transform(transform: Any, options: Mapping[str, Any] | None) -> Transform:
    """Returns the family that a layer was given, or that its configuration holds."""
    if isinstance(transform, Mapping):
        transform = keras.saving.deserialize_keras_object(transform)
    return get_transform(transform, **(options or {}))
