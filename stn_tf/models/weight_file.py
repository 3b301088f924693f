"""Weights of a backbone from a file of the user's."""

from collections.abc import Iterator
from pathlib import Path

import keras

from stn_tf.errors import ModelError
from stn_tf.models import efficientnet_lite
from stn_tf.models.torch_file import read_tensors

SUFFIXES = (".keras", ".h5", ".pth")


def load_weight_file(backbone: keras.Model, path: Path) -> None:
    """Gives a backbone the weights in a file.

    Args:
        backbone: A model whose weights are set.
        path: A `.keras` file of such a network or of a model with a layer named "backbone", a
            `.weights.h5` or `.h5` file that Keras wrote of one, or torch's `.pth` file of
            EfficientNet-Lite0.

    Raises:
        ModelError: If it cannot be read, or is of another network.
    """
    if path.suffix == ".pth":
        efficientnet_lite.load_torch_tensors(backbone, read_tensors(path))
    elif path.suffix == ".keras":
        _copy_weights(backbone, path)
    else:
        _load_h5(backbone, path)


def _load_h5(backbone: keras.Model, path: Path) -> None:
    # What Keras publishes is of the network inside, what users save may be of the whole backbone.
    reason = ""
    for network in (*_nested(backbone), backbone):
        try:
            network.load_weights(path)
            return
        except Exception as error:  # h5py's and Keras's are of many kinds.
            reason = reason or " ".join(str(error).split())
    raise ModelError(
        f"`weights` {path} are not those of this {backbone.count_params():,}-parameter backbone: "
        f"{reason[:300]} Save them with model.get_layer('backbone').save_weights(...)."
    )


def _copy_weights(backbone: keras.Model, path: Path) -> None:
    try:
        loaded = keras.models.load_model(path, compile=False)
    except Exception as error:  # Of many kinds, as above; and what a user's own layers raise.
        reason = " ".join(str(error).split())
        raise ModelError(f"`weights` {path} cannot be loaded: {reason[:300]}") from None
    found = [layer for layer in loaded._flatten_layers() if layer.name == "backbone"]
    source = found[0] if found else loaded
    # A classifier of Keras has that of its classes after all others.
    values = source.get_weights()[: len(backbone.weights)]
    ours = [tuple(weight.shape) for weight in backbone.weights]
    if [value.shape for value in values] != ours:
        raise ModelError(
            f"`weights` {path} must be of this backbone, with {len(ours)} weights, but its layer "
            f"{source.name!r} has {len(source.weights)} of other shapes. Name the backbone that "
            "the file was made of."
        )
    backbone.set_weights(values)


def _nested(model: keras.Model) -> Iterator[keras.Model]:
    return (layer for layer in model.layers if isinstance(layer, keras.Model))
