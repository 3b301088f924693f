"""What layers compute in."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

# Of `FitConfig.mixed_precision`, the dtype policies of Keras.
POLICIES = {"none": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Layers made inside compute in the dtypes of a Keras policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def computes_in_half(model: keras.Model) -> bool:
    """Whether any layer computes in float16, whose gradients need a scaled loss."""
    # Keras has no public walk over layers inside layers.
    return any(layer.compute_dtype == "float16" for layer in model._flatten_layers())
