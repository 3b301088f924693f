"""The networks of the paper's distorted-MNIST experiments (appendix A.4).

Every network of an experiment has about 400,000 parameters, localisation included, so that what a
transformer adds is not size. The paper's numbers do not fit together; settled here, once:

- Widths. The paper gives ranges (128 to 256 units, 32 to 64 filters) and the budget. They disagree:
  64 filters at 28 x 28 make half of it, the FCN at 60 x 60 more than all of it at 128 units. The
  budget wins: each network is as wide as it allows.
- Pooling of odd sizes. A 42 x 42 crop pooled to 21 x 21 leaves nothing after conv 9, pool and
  conv 7 if pooling drops the last row; here max-pooling keeps it (21 -> 13 -> 7 -> 1).
- The crop has the size of the canvas, and with `pool_crops` (RTS and TC) is average-pooled by 2.
- The localisation of an ST-CNN sees the image at half size, by average pooling.
"""

import math
from collections.abc import Sequence

import keras

from stn_tf.layers import SpatialTransformer

PARAMETER_BUDGET = 400_000
_TRANSFORMS = {"affine": "affine", "projective": "projective", "tps": "tps"}
NETWORKS = (
    "fcn",
    "cnn",
    *(f"st-{kind}-{name}" for kind in ("fcn", "cnn") for name in _TRANSFORMS),
)


def build_network(
    name: str,
    input_shape: Sequence[int],
    classes: int = 10,
    *,
    crop_size: Sequence[int] | None = None,
    pool_crops: bool = False,
) -> keras.Model:
    """Returns an untrained network: `images` float32 `[N, H, W, C]` in 0..1 -> `logits`.

    Args:
        name: One of `NETWORKS`.
        input_shape: Height, width and channels of the images.
        classes: The number of classes.
        crop_size: Height and width that a transformer samples; None for those of the images.
        pool_crops: Whether to average-pool by 2 after the transformer.

    Raises:
        ValueError: If there is no such network, or the images are too small for it.
    """
    if name not in NETWORKS:
        raise ValueError(f"`name` must be one of {', '.join(NETWORKS)}, but it is {name!r}.")
    images = keras.Input(tuple(input_shape), name="images")
    features, spent = images, 0
    kind = name.removeprefix("st-").split("-")[0]
    if name.startswith("st-"):
        transformer = SpatialTransformer(
            _localisation(kind, input_shape),
            _TRANSFORMS[name.rsplit("-", 1)[-1]],
            tuple(crop_size or input_shape[:2]),
            name="spatial_transformer",
        )
        features = transformer(features)
        spent = transformer.count_params()
        if pool_crops:
            features = keras.layers.AveragePooling2D(2, name="pool_crops")(features)
    classify = _fcn if kind == "fcn" else _cnn
    logits = classify(features, classes, PARAMETER_BUDGET - spent)
    return keras.Model(images, logits, name=name.replace("-", "_"))


def _localisation(kind: str, input_shape: Sequence[int]) -> keras.Model:
    layers = keras.layers
    if kind == "fcn":
        dense = [layers.Dense(32, activation="relu", name=f"dense_{i}") for i in (1, 2, 3)]
        return keras.Sequential([layers.Flatten(), *dense], name="localisation")
    if min(input_shape[:2]) < 28:
        raise ValueError(
            "`input_shape` must be at least 28 x 28 for a convolutional localisation, "
            f"but it is {input_shape[0]} x {input_shape[1]}. Use a larger image size."
        )
    return keras.Sequential(
        [
            layers.AveragePooling2D(2),
            layers.Conv2D(20, 5, activation="relu", name="conv_1"),
            layers.MaxPooling2D(2),
            layers.Conv2D(20, 5, activation="relu", name="conv_2"),
            layers.Flatten(),
            layers.Dense(20, activation="relu", name="dense"),
        ],
        name="localisation",
    )


def _fcn(features: keras.KerasTensor, classes: int, budget: int) -> keras.KerasTensor:
    layers = keras.layers
    features = layers.Flatten()(features)
    units = _width(1, features.shape[-1] + 2 + classes, classes, budget)
    features = layers.Dense(units, activation="relu", name="hidden_1")(features)
    features = layers.Dense(units, activation="relu", name="hidden_2")(features)
    return layers.Dense(classes, name="logits", dtype="float32")(features)


def _cnn(features: keras.KerasTensor, classes: int, budget: int) -> keras.KerasTensor:
    layers = keras.layers
    _, height, width, channels = features.shape
    final = [-(-(-(-(size - 8) // 2) - 6) // 2) for size in (height, width)]
    if min(final) < 1:
        raise ValueError(
            "`input_shape` must leave at least 21 x 21 pixels for the classifier, "
            f"but it leaves {height} x {width}. Use a larger image or crop size."
        )
    linear = 81 * channels + 1 + 1 + math.prod(final) * classes
    filters = _width(49, linear, classes, budget)
    for index, size in enumerate((9, 7), start=1):
        features = layers.Conv2D(filters, size, activation="relu", name=f"conv_{index}")(features)
        features = layers.MaxPooling2D(2, padding="same", name=f"pool_{index}")(features)
    features = layers.Flatten()(features)
    return layers.Dense(classes, name="logits", dtype="float32")(features)


def _width(quadratic: int, linear: int, constant: int, budget: int) -> int:
    """The width at which `quadratic w^2 + linear w + constant` is nearest to the budget."""
    root = math.sqrt(linear**2 + 4 * quadratic * max(budget - constant, 0))
    return max(1, round((root - linear) / (2 * quadratic)))
