"""Photographs -> logits: a backbone, with spatial transformers in front of it or none."""

from collections.abc import Callable, Sequence

import keras

from stn_tf.errors import ConfigError
from stn_tf.models.backbone import build_backbone, choose_backbone


def build_classifier(
    input_shape: Sequence[int],
    classes: int,
    *,
    backbone: str = "auto",
    weights: str = "auto",
    transformers: int = 0,
    transformation: str = "affine",
    crop_size: int | Sequence[int] | None = None,
    crop_scale: float | None = None,
    share_backbone: bool = True,
    whole_image: bool = True,
    localisation: str = "auto",
    dropout: float = 0.2,
    batch_norm: str = "frozen",
    notify: Callable[[str], None] = lambda line: None,
) -> keras.Model:
    """Returns `images` float32 `[N, H, W, C]` in 0..1 -> `logits` float32 `[N, classes]`."""
    if transformers:
        raise ConfigError("`transformers` must be 0 for now.")
    choice = choose_backbone(input_shape[:2], backbone, weights)
    for note in choice.notes:
        notify(note)
    images = keras.Input(tuple(input_shape), dtype="float32", name="images")
    features = build_backbone(choice, input_shape, "backbone")
    if batch_norm == "frozen" and choice.pretrained:
        for layer in features._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    x = keras.layers.GlobalAveragePooling2D(name="pool")(features(images))
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(classes, dtype="float32", name="logits")(x)
    return keras.Model(images, logits, name="classifier")
