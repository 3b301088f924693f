"""The networks of the paper's experiments with digits (appendices A.1 and A.4).

Every network of an experiment has about the same number of parameters, localisation included, so
that what a transformer adds is not size. The paper's numbers do not fit together; settled here,
once:

- Widths. The paper gives ranges (128 to 256 units, 32 to 64 filters) and, for A.4, the budget. They
  disagree: 64 filters at 28 x 28 make half of it, the FCN at 60 x 60 more than all of it at 128
  units. The budget wins: each network is as wide as it allows. A.1 has no budget; twice that of A.4
  makes its FCN about 200 units wide.
- Pooling of odd sizes. A 42 x 42 crop pooled to 21 x 21 leaves nothing after conv 9, pool and
  conv 7 if pooling drops the last row; here max-pooling keeps it (21 -> 13 -> 7 -> 1).
- The crop has the size of the canvas, and with `pool_crops` (RTS and TC) is average-pooled by 2.
- The localisation of an ST-CNN sees the image at half size, by average pooling. So does that of
  A.1, of which the paper says nothing: dense layers on two channels would take the whole budget.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import keras

from stn_tf.layers import OutsidePenalty, SpatialTransformer
from stn_tf.paper.config import ADDITION_NETWORKS, NETWORKS

PARAMETER_BUDGET = 400_000
ADDITION_BUDGET = 800_000


@dataclasses.dataclass(frozen=True)
class Looks:
    """How the transformers of a network look at images.

    Attributes:
        crop_size: Height and width that each samples; None for those of the images.
        pool_crops: Whether to average-pool by 2 after it.
        antialias: Samples an axis that are averaged where it shrinks.
        feed_theta: Whether the classifier's last layer sees theta too.
        outside_penalty: The factor of a loss on grids that leave the image.
        return_theta: Whether the model gives theta too: `{"logits": ..., "theta": ...}`.
    """

    crop_size: Sequence[int] | None = None
    pool_crops: bool = False
    antialias: int = 1
    feed_theta: bool = False
    outside_penalty: float = 0.0
    return_theta: bool = False

    @property
    def needs_theta(self) -> bool:
        """Whether something reads theta but the sampler."""
        return self.feed_theta or self.return_theta or self.outside_penalty > 0


def build_network(
    name: str, input_shape: Sequence[int], classes: int = 10, **looks: Any
) -> keras.Model:
    """Returns an untrained network of A.4: `images` float32 `[N, H, W, C]` in 0..1 -> `logits`.

    Args:
        name: One of `NETWORKS`.
        input_shape: Height, width and channels of the images.
        classes: The number of classes.
        looks: The attributes of `Looks`.

    Raises:
        ValueError: If there is no such network, or the images are too small for it.
    """
    if name not in NETWORKS:
        raise ValueError(f"`name` must be one of {', '.join(NETWORKS)}, but it is {name!r}.")
    kind = "fcn" if "fcn" in name else "cnn"
    return _network(name, kind, input_shape, classes, PARAMETER_BUDGET, Looks(**looks))


def build_addition_network(
    name: str, input_shape: Sequence[int], classes: int = 19, *, crop_size: Sequence[int] | None
) -> keras.Model:
    """Returns an untrained network of A.1: two digits, `[N, H, W, 2]` in 0..1 -> `logits`.

    Each transformer sees both channels and transforms both; the crops of two stand beside each
    other as channels.

    Args:
        name: One of `ADDITION_NETWORKS`.
        input_shape: Height, width and channels of the images.
        classes: The number of sums.
        crop_size: Height and width that each transformer samples; None for those of the images.

    Raises:
        ValueError: If there is no such network, or the images are too small for it.
    """
    if name not in ADDITION_NETWORKS:
        raise ValueError(
            f"`name` must be one of {', '.join(ADDITION_NETWORKS)}, but it is {name!r}."
        )
    looks = Looks(crop_size=crop_size)
    return _network(name, "cnn", input_shape, classes, ADDITION_BUDGET, looks)


def _network(
    name: str,
    localisation: str,
    input_shape: Sequence[int],
    classes: int,
    budget: int,
    looks: Looks,
) -> keras.Model:
    images = keras.Input(tuple(input_shape), name="images")
    found = re.fullmatch(r"(?:(\d+)x)?st-(?:fcn|cnn)-(\w+)", name)
    features, thetas = images, []
    if found:
        count = int(found[1] or 1)
        crops = []
        for number in range(1, count + 1):
            suffix = "" if count == 1 else f"_{number}"
            crop, theta, spent = _transformed(images, localisation, found[2], looks, suffix)
            budget -= spent
            crops.append(crop)
            thetas.append(theta)
        features = crops[0] if count == 1 else keras.layers.Concatenate(name="crops")(crops)
    fed = [keras.layers.Flatten()(theta) for theta in thetas] if looks.feed_theta else []
    budget -= classes * sum(theta.shape[-1] for theta in fed)
    features = (_fcn if "fcn" in name else cnn_features)(features, classes, budget)
    if fed:
        features = keras.layers.Concatenate(name="features_theta")([features, *fed])
    logits = keras.layers.Dense(classes, name="logits", dtype="float32")(features)
    outputs = {"logits": logits, "theta": thetas[0]} if looks.return_theta else logits
    model_name = re.sub(r"^(\d)xst", r"st\1", name).replace("-", "_")
    return keras.Model(images, outputs, name=model_name)


def _transformed(
    images: keras.KerasTensor, localisation: str, transform: str, looks: Looks, suffix: str
) -> tuple[keras.KerasTensor, keras.KerasTensor | None, int]:
    """Returns crops, theta where it is needed, and how many parameters both cost."""
    shape = images.shape[1:]
    transformer = SpatialTransformer(
        _localisation(localisation, shape),
        transform,
        tuple(looks.crop_size or shape[:2]),
        antialias=looks.antialias,
        return_theta=looks.needs_theta,
        name=f"spatial_transformer{suffix}",
    )
    crops = transformer(images)
    theta = None
    if looks.needs_theta:
        crops, theta = crops
    if looks.outside_penalty:
        penalty = OutsidePenalty(transform, looks.outside_penalty, name=f"stay_inside{suffix}")
        crops = penalty([crops, theta])
    if looks.pool_crops:
        crops = keras.layers.AveragePooling2D(2, name=f"pool_crops{suffix}")(crops)
    return crops, theta, transformer.count_params()


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
    units = nearest_width(1, features.shape[-1] + 2 + classes, classes, budget)
    features = layers.Dense(units, activation="relu", name="hidden_1")(features)
    return layers.Dense(units, activation="relu", name="hidden_2")(features)


def cnn_features(features: keras.KerasTensor, classes: int, budget: int) -> keras.KerasTensor:
    layers = keras.layers
    _, height, width, channels = features.shape
    final = [-(-(-(-(size - 8) // 2) - 6) // 2) for size in (height, width)]
    if min(final) < 1:
        raise ValueError(
            "`input_shape` must leave at least 21 x 21 pixels for the classifier, "
            f"but it leaves {height} x {width}. Use a larger image or crop size."
        )
    linear = 81 * channels + 1 + 1 + math.prod(final) * classes
    filters = nearest_width(49, linear, classes, budget)
    for index, size in enumerate((9, 7), start=1):
        features = layers.Conv2D(filters, size, activation="relu", name=f"conv_{index}")(features)
        features = layers.MaxPooling2D(2, padding="same", name=f"pool_{index}")(features)
    return layers.Flatten()(features)


def nearest_width(quadratic: int, linear: int, constant: int, budget: int) -> int:
    """The width at which `quadratic w^2 + linear w + constant` is nearest to the budget."""
    if not quadratic:
        return max(1, round((budget - constant) / linear))
    root = math.sqrt(linear**2 + 4 * quadratic * max(budget - constant, 0))
    return max(1, round((root - linear) / (2 * quadratic)))
