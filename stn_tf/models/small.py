"""`small`: a residual network for training from scratch, sized by the images and the classes.

The image is halved until some 7 pixels are left (4 to 8 where it is square), whatever it measures:
each halving is a stage of a strided convolution and a residual block. Widths double from stage to
stage up to 256; large images begin with stages of the least width, so that their many pixels do not
cost too much. At 28 pixels the network has 3 stages, at 448 it has 6.
"""

import math
from collections.abc import Sequence

import keras

LEAST_SIZE = 16
# No layer is narrower, whatever the image and the classes.
LEAST_WIDTH = 32
LEAST_FEATURES = 256
_MOST_WIDTH = 256
_MOST_FEATURES = 1024
_FINAL_SIZE = 8
# From so many halvings on, the first convolution is one of them.
_STRIDED_STEM = 4


def halvings(image_size: Sequence[int]) -> int:
    """Returns how often images are halved: to about 7 pixels, and no side below 4."""
    by_area = math.ceil(math.log2(math.sqrt(math.prod(image_size)) / _FINAL_SIZE))
    by_side = math.floor(math.log2(min(image_size) / 4))
    return max(2, min(by_area, by_side))


def widths(image_size: Sequence[int]) -> list[int]:
    """Returns the filters of the stem and of each stage."""
    times = halvings(image_size)
    stages = times + (times < _STRIDED_STEM)
    last = min(_MOST_WIDTH, LEAST_WIDTH * 2 ** (stages - 1))
    return [max(LEAST_WIDTH, last >> (stages - 1 - stage)) for stage in range(stages)]


def features(classes: int) -> int:
    """Returns how many numbers describe an image: no fewer than classes, while that is cheap."""
    return min(_MOST_FEATURES, max(LEAST_FEATURES, 2 ** math.ceil(math.log2(classes))))


def small(input_shape: Sequence[int], classes: int, *, name: str = "backbone") -> keras.Model:
    """Returns the network without its classifier, untrained.

    Args:
        input_shape: Height, width and channels of the images.
        classes: How many its features must tell apart.
        name: The model's.

    Returns:
        A model of images `[N, H, W, C]` in 0..1 -> features `[N, h, w, F]`.
    """
    images = keras.Input(tuple(input_shape), name="images")
    x = keras.layers.Rescaling(2.0, offset=-1.0, dtype="float32", name="normalise")(images)
    stem, *stages = widths(input_shape[:2])
    x = _convolution(x, stem, 1 + (halvings(input_shape[:2]) >= _STRIDED_STEM), "stem")
    for index, width in enumerate(stages, start=1):
        x = _convolution(x, width, 2, f"stage_{index}_down")
        start = x
        x = _convolution(x, width, 1, f"stage_{index}_first")
        x = _convolution(x, width, 1, f"stage_{index}_second", last=True)
        x = keras.layers.Add(name=f"stage_{index}_add")([x, start])
        x = keras.layers.ReLU(name=f"stage_{index}_relu")(x)
    return keras.Model(images, _convolution(x, features(classes), 1, "head", kernel=1), name=name)


def _convolution(
    x: keras.KerasTensor, width: int, stride: int, name: str, *, kernel: int = 3, last: bool = False
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(
        width,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    # The statistics follow within a few dozen steps: short trainings have no more. At the end of a
    # residual block the scale starts at zero, and the block with it.
    x = keras.layers.BatchNormalization(
        momentum=0.9, gamma_initializer="zeros" if last else "ones", name=f"{name}_bn"
    )(x)
    return x if last else keras.layers.ReLU(name=f"{name}_relu")(x)
