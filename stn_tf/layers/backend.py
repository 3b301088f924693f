"""The layers compute with TensorFlow, whatever else Keras can: importing this file checks it."""

import os
import sys


def _backend() -> str:
    # Where another backend is asked for and not installed, importing Keras fails on its own.
    if "keras" not in sys.modules and os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    import keras

    return str(keras.config.backend())


if _backend() != "tensorflow":
    raise ImportError(
        f"`KERAS_BACKEND` must be tensorflow for stn_tf.layers, but it is {_backend()}. Set "
        "KERAS_BACKEND=tensorflow in the environment before keras is imported."
    )
