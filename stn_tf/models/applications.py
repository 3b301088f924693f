"""The networks of `keras.applications`, as backbones for images in 0..1.

Keras tells what there is: nothing is listed here but what it does not tell. What a family wants of
its input is read off its own `preprocess_input`, which is affine: black and the three colours say
all of it.
"""

import contextlib
import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType

import keras
import numpy as np

from stn_tf.errors import ConfigError

# Keras refuses smaller images, and names these numbers in its errors alone.
_LEAST_SIZES = {"Xception": 71, "InceptionV3": 75, "InceptionResNetV2": 75}
_LEAST_SIZE = 32
# ImageNet's, of RGB in 0..1. EfficientNetB0 to B7 divide by the root of the deviation once more,
# but Keras (3.15, keras/src/applications/efficientnet.py) builds that layer with its own download
# alone; weights from a file want it too.
_MEAN = np.array([0.485, 0.456, 0.406])
_DEVIATION = np.array([0.229, 0.224, 0.225])


@functools.cache
def applications() -> dict[str, Callable[..., keras.Model]]:
    """Returns the functions of `keras.applications` by name."""
    return {
        name: function
        for name, function in sorted(vars(keras.applications).items())
        if inspect.isfunction(function) and "include_top" in inspect.signature(function).parameters
    }


def least_size(name: str) -> int:
    """Returns the least height and width of images in pixels."""
    return _LEAST_SIZES.get(name, _LEAST_SIZE)


def application(
    name: str, input_shape: Sequence[int], *, imagenet: bool, model_name: str = "backbone"
) -> keras.Model:
    """Returns a network of Keras without its classifier.

    Args:
        name: Of the function in `keras.applications`.
        input_shape: Height, width and channels of the images; one channel is repeated to three.
        imagenet: Whether to load ImageNet weights, which Keras downloads once.
        model_name: The model's.

    Returns:
        A model of images `[N, H, W, C]` in 0..1 -> features `[N, h, w, F]`; its last layer is
        the network.

    Raises:
        ConfigError: If the weights cannot be downloaded.
    """
    height, width, channels = input_shape
    images = keras.Input(tuple(input_shape), name="images")
    rgb = images if channels == 3 else keras.layers.Concatenate(name="rgb")([images] * 3)
    network = _network(name, (height, width, 3), imagenet)
    return keras.Model(images, network(preprocess(name, rgb, imagenet=imagenet)), name=model_name)


def preprocess(name: str, rgb: keras.KerasTensor, *, imagenet: bool) -> keras.KerasTensor:
    """Returns RGB in 0..1 as a network of Keras wants it, in float32.

    Args:
        name: Of the function in `keras.applications`.
        rgb: `[N, H, W, 3]`.
        imagenet: Whether the network was built with Keras's own download.
    """
    module = inspect.getmodule(applications()[name])
    assert isinstance(module, ModuleType)
    colours = 255.0 * np.concatenate([np.zeros((1, 3)), np.eye(3)])
    black, *pure = module.preprocess_input(colours.astype(np.float32)[:, None, None])[:, 0, 0]
    gain = np.stack(pure) - black
    order = np.argmax(np.abs(gain), axis=0)
    scale, offset = gain[order, [0, 1, 2]].astype(np.float64), black.astype(np.float64)
    if module.__name__.endswith(".efficientnet") and not imagenet:
        # Around the mean, where it comes to the same as a division after subtracting it.
        more = 1.0 / np.sqrt(_DEVIATION)
        scale, offset = scale * more, offset + 255.0 * _MEAN * (1.0 - more)
    if not np.array_equal(order, [0, 1, 2]):
        rgb = keras.ops.take(rgb, order.tolist(), axis=-1)
    # Half precision has not all of a photo's greys.
    return keras.layers.Rescaling(
        scale.tolist(), offset.tolist(), dtype="float32", name="normalise"
    )(rgb)


def _network(name: str, input_shape: tuple[int, int, int], imagenet: bool) -> keras.Model:
    build = functools.partial(applications()[name], include_top=False, input_shape=input_shape)
    if not imagenet:
        return build(weights=None)
    with warnings.catch_warnings():
        # That weights made at 224 pixels are used at another size is what backbones are for.
        warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
        try:
            # Keras prints what it downloads to stdout, which belongs to results.
            with contextlib.redirect_stdout(sys.stderr):
                return build(weights="imagenet")
        # The network raises a bare Exception, a wrong checksum a ValueError.
        except Exception as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise ConfigError(
                f"`weights` imagenet of {name} cannot be downloaded: {reason}. Put that file into "
                "~/.keras/models, or set weights=FILE or weights=none."
            ) from None
