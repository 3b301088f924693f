"""Photographs -> logits: a backbone, with spatial transformers in front of it or none."""

import numbers
from collections.abc import Callable, Sequence
from typing import Any

import keras

from stn_tf.errors import ConfigError
from stn_tf.models import localisation as localisations
from stn_tf.models.backbone import Choice, build_backbone, choose_backbone
from stn_tf.models.looks import Looks, look

TRANSFORMATIONS = ("affine", "similarity", "attention")
LOCALISATIONS = ("auto", "small", "backbone", "salient")
BATCH_NORMS = ("frozen", "train")


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
    """Returns `images` float32 `[N, H, W, C]` in 0..1 -> `logits` float32 `[N, classes]`.

    What a backbone wants of its input is inside of it. Several transformers share a localisation
    network, and start where they tile the image; one starts at the identity. Parts by name:
    `backbone` (and `backbone_1`, ... where they are not shared), `spatial_transformer`, in it
    `localisation`, and `logits`.

    The paper's network for birds (appendix A.6) is `transformers=2` or 4 with
    `transformation="attention"`, `crop_scale=0.5`, `share_backbone=False`, `whole_image=False`,
    `localisation="backbone"`, images of 448 and `crop_size=224`; its Inception is older than
    Keras's.

    Args:
        input_shape: Height, width and channels (1 or 3) of the images.
        classes: How many there are, at least 2.
        backbone: One of `BACKBONES`, or `auto`.
        weights: `auto`, `imagenet`, `none` or a file: see `choose_backbone`.
        transformers: How many look at the image, side by side; 0 for none.
        transformation: `affine`, `similarity` or `attention`.
        crop_size: Height and width of what the backbone sees with transformers, a number for a
            square; None for those of the image.
        crop_scale: The side of a crop as a share of the image's: where affine and similarity
            start, and what attention keeps. None for tiles that overlap, and free attention.
        share_backbone: Whether the image and all crops go through one backbone.
        whole_image: Whether the features of the whole image stand beside those of the crops.
        localisation: `small`, a network of its own; `backbone`, what a backbone sees of the whole
            image at the size of the crops, with a small head; `salient`, the same, but the crops
            start where its features are strong (`SalientRegion`), and tile that window; `auto`,
            which is `salient` if the backbone is pre-trained and `crop_scale` is free, else one of
            the others. A shared backbone learns nothing from where crops lie; where they are not
            shared, the localisation has one more of its own.
        dropout: The share of features that training drops before the classes.
        batch_norm: Of a pre-trained backbone: `frozen` normalises with its own statistics and
            scales for good, `train` goes on learning them. From scratch they are always learned.
            The statistics of what learns are those of all replicas together.
        notify: Is given each line that says what was decided here.

    Raises:
        ConfigError: If a choice cannot be had, or images are smaller than a part needs.
        ModelError: If a file of weights does not fit.

    Source: Jaderberg et al. 2015, https://arxiv.org/abs/1506.02025.
    """
    input_shape = _checked_shape(input_shape)
    _check(classes, transformers, dropout, crop_scale)
    _check_choice("transformation", transformation, TRANSFORMATIONS)
    _check_choice("localisation", localisation, LOCALISATIONS)
    _check_choice("batch_norm", batch_norm, BATCH_NORMS)
    if not transformers and (crop_size is not None or crop_scale is not None or not whole_image):
        raise ConfigError(
            "`crop_size`, `crop_scale` and `whole_image` = false need transformers, but "
            "`transformers` is 0. Leave them out, or set transformers=1."
        )
    size = input_shape[:2] if crop_size is None else _checked_size("crop_size", crop_size)
    choice = choose_backbone(backbone, weights, image_size=size)
    _check_least("image_size" if crop_size is None else "crop_size", size, choice)
    for line in choice.notes:
        notify(line)
    if not choice.pretrained and batch_norm == "frozen":
        notify("batch_norm=train, because the backbone starts from scratch.")

    def new_backbone(name: str) -> keras.Model:
        network = build_backbone(choice, (*size, input_shape[2]), classes, name=name)
        _settle_batch_norm(network, frozen=choice.pretrained and batch_norm == "frozen")
        return network

    images = keras.Input(input_shape, dtype="float32", name="images")
    if transformers:
        if localisation == "auto":
            localisation = best_localisation(choice.pretrained, crop_scale)
            notify(f"localisation={localisation}, because weights={choice.weights}.")
        if localisation == "salient" and crop_scale is not None:
            raise ConfigError(
                "`localisation` salient finds the scale of the crops itself, but `crop_scale` is "
                f"{crop_scale}. Leave that out, or set localisation=backbone."
            )
        if localisation == "small":
            _check_localisation(input_shape[:2])
        looks = Looks(transformers, transformation, size, crop_scale, localisation)
        features = look(images, looks, new_backbone, share=share_backbone, whole=whole_image)
    else:
        features = keras.layers.GlobalAveragePooling2D(name="pool")(
            new_backbone("backbone")(images)
        )
    if dropout:
        features = keras.layers.Dropout(dropout, name="dropout")(features)
    logits = keras.layers.Dense(classes, dtype="float32", name="logits")(features)
    return keras.Model(images, logits, name=choice.backbone.replace("-", "_").lower())


def best_localisation(pretrained: bool, crop_scale: float | None) -> str:
    """Returns what `localisation="auto"` stands for."""
    if not pretrained:
        return "small"
    return "salient" if crop_scale is None else "backbone"


def _settle_batch_norm(network: keras.Model, *, frozen: bool) -> None:
    # Keras has no public walk over layers inside layers.
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable, layer.synchronized = not frozen, not frozen


def _checked_shape(input_shape: Sequence[int]) -> tuple[int, int, int]:
    *size, channels = input_shape
    height, width = _checked_size("image_size", size)
    if channels not in (1, 3):
        raise ConfigError(f"`channels` must be 1 (grey) or 3 (colour), but it is {channels!r}.")
    return height, width, channels


def _checked_size(name: str, size: int | Sequence[int]) -> tuple[int, int]:
    sides = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(sides) != 2 or not all(isinstance(n, numbers.Integral) and n >= 1 for n in sides):
        raise ConfigError(
            f"`{name}` must be height and width in whole pixels, but it is {list(sides)}."
        )
    height, width = sides
    return int(height), int(width)


def _check(classes: Any, transformers: Any, dropout: float, crop_scale: float | None) -> None:
    if not isinstance(classes, numbers.Integral) or classes < 2:
        raise ConfigError(f"`classes` must be a whole number of at least 2, but it is {classes!r}.")
    if not isinstance(transformers, numbers.Integral) or transformers < 0:
        raise ConfigError(
            f"`transformers` must be a whole number of at least 0, but it is {transformers!r}."
        )
    if not 0 <= dropout < 1:
        raise ConfigError(f"`dropout` must be at least 0 and below 1, but it is {dropout!r}.")
    if crop_scale is not None and not 0 < crop_scale <= 1:
        raise ConfigError(f"`crop_scale` must be above 0 and at most 1, but it is {crop_scale!r}.")


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ConfigError(f"`{name}` must be one of {', '.join(choices)}, but it is {value!r}.")


def _check_least(name: str, size: tuple[int, int], choice: Choice) -> None:
    if min(size) < choice.least_size:
        least = choice.least_size
        raise ConfigError(
            f"`{name}` must be at least {least} x {least} for backbone={choice.backbone}, but it "
            f"is {size[0]} x {size[1]}. Set {name}={least} or more, or backbone=small."
        )


def _check_localisation(size: tuple[int, int]) -> None:
    least = localisations.LEAST_SIZE
    if min(size) < least:
        raise ConfigError(
            f"`image_size` must be at least {least} x {least} for localisation=small, but it is "
            f"{size[0]} x {size[1]}. Set image_size={least} or more, or transformers=0."
        )
