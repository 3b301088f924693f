"""The networks of the paper's co-localisation (appendix A.2).

The paper has a localisation of a convolution of 8 filters of 9x9 with stride 4, a max-pool and
dense layers of 8, 8 and 3, and compares activations of three layers of a network that classifies
MNIST. Decided here, because without it the window shrinks, grows or leaves the image:

- What the dense layers see is normalised, so that their first steps do not depend on the ink.
  They leak: of 8 units that do not, so many may be dead that the window stays as it began.
- The scale of attention stays within limits. A window never magnifies; it starts near the largest.
- Crops are the means of 3x3 samples a pixel: a window starts far larger than a digit.
- A window that leaves the image costs something.
- The encoder learns from digits as windows of all sizes show them, among distractors if any.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from stn_tf.layers import OutsidePenalty, SpatialTransformer
from stn_tf.paper.colocalisation_scenes import SAMPLES, Windows
from stn_tf.paper.digits_recipe import EVALUATION_SEED
from stn_tf.paper.pipeline import Scenes, evaluation_dataset, training_dataset
from stn_tf.paper.source import Source
from stn_tf.training import fit
from stn_tf.training.config import FitConfig, build_config
from stn_tf.training.error_percent import ErrorPercent

# Where the scale begins between its limits.
_START = 0.9
_ENCODER_BATCH = 128
_ENCODER_FILTERS = 32


def build_colocalisation_network(
    side: int,
    crop_size: Sequence[int],
    *,
    scales: tuple[float, float],
    outside_penalty: float,
) -> keras.Model:
    """Returns an untrained network: `images` float32 `[N, side, side, 1]` -> `crops`, `theta`.

    Args:
        side: Of the images, in pixels.
        crop_size: Height and width of the crops.
        scales: Between which the scale of the window stays, as a share of the image.
        outside_penalty: The weight of `OutsidePenalty`.

    Returns:
        A model with outputs `crops` `[N, *crop_size, 1]` and `theta` `[N, 3]`, attention's
        (scale, x, y).
    """
    layers = keras.layers
    hidden = {"activation": "leaky_relu", "kernel_initializer": "he_normal"}
    localisation = keras.Sequential(
        [
            layers.Conv2D(8, 9, strides=4, name="conv", **hidden),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.LayerNormalization(center=False, scale=False),
            layers.Dense(8, name="dense_1", **hidden),
            layers.Dense(8, name="dense_2", **hidden),
        ],
        name="localisation",
    )
    images = keras.Input((side, side, 1), name="images")
    least, largest = scales
    transformer = SpatialTransformer(
        localisation,
        "attention",
        tuple(SAMPLES * extent for extent in crop_size),
        initial_theta=[least + _START * (largest - least), 0.0, 0.0],
        constraints={"scale": (least, largest)},
        return_theta=True,
        name="spatial_transformer",
    )
    crops, theta = transformer(images)
    penalty = OutsidePenalty("attention", outside_penalty, name="stay_inside")
    crops = layers.AveragePooling2D(SAMPLES, name="pool_crops")(penalty([crops, theta]))
    return keras.Model(images, {"crops": crops, "theta": theta}, name="st_attention")


def trained_encoder(
    source: Source, *, steps: int, seed: int, deterministic: bool, **windows: Any
) -> keras.Model:
    """Returns a small CNN, as appendix A.4's, that was taught to tell digits apart.

    Args:
        source: The digits.
        steps: Of batches of 128.
        seed: Of weights and data.
        deterministic: Whether the same weights come out each time.
        windows: What `Windows` takes.

    Returns:
        A model of images -> the activations of its second convolution, after pooling it, and the
        logits: the three layers that `TripletLoss` compares.
    """
    layers = keras.layers
    shape = source.train.images.shape[1:]
    images = keras.Input(shape)
    features, seen = images, []
    for index, size in enumerate((9, 7), start=1):
        convolution = layers.Conv2D(_ENCODER_FILTERS, size, activation="relu", name=f"conv_{index}")
        features = convolution(features)
        seen.append(features)
        features = layers.MaxPooling2D(2, padding="same", name=f"pool_{index}")(features)
    logits = layers.Dense(len(source.classes), name="logits")(layers.Flatten()(features))
    config = build_config(
        FitConfig,
        {
            "steps": steps,
            "learning_rate": 2e-3,
            "warmup_steps": min(20, steps),
            "evaluate_every": steps,
            "choose": "last",
            "seed": seed,
            "deterministic": deterministic,
            "strategy": "one",
        },
    )
    fit(
        keras.Model(images, logits, name="encoder"),
        _Batches(Windows(source.train, **windows), seed),
        evaluation_dataset(
            Windows(source.validation, **windows), batch_size=_ENCODER_BATCH, seed=EVALUATION_SEED
        ),
        config,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=(ErrorPercent(),),
        title="encoder: what the loss compares with learns to tell digits apart first",
    )
    encoder = keras.Model(images, [seen[-1], features, logits], name="encoder")
    encoder.trainable = False
    return encoder


class _Batches:
    """Batches of scenes to train on."""

    def __init__(self, scenes: Scenes, seed: int):
        self._scenes = scenes
        self._seed = seed

    def batches(
        self, start_step: int, *, replicas: int = 1, replica_ids: Sequence[int] = (0,)
    ) -> tf.data.Dataset:
        return training_dataset(
            self._scenes,
            batch_size=_ENCODER_BATCH,
            seed=self._seed,
            start_step=start_step,
            replicas=replicas,
            replica_ids=replica_ids,
        )
