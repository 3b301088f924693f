"""What the settings of images leave open: decided by the images, and said in a line each."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stn_tf.errors import ConfigError
from stn_tf.experiments.hooks import is_hook
from stn_tf.experiments.images_config import ImagesConfig

if TYPE_CHECKING:
    from stn_tf.data import Collection

_TRANSFORMERS = (
    "No transformer looks at the images (transformers=1 puts one in front).",
    "A transformer looks closer at a part of each image (transformers=0 is over twice as fast).",
)
_LOCALISATIONS = {
    "small": "A small network of its own finds where transformers look",
    "backbone": "What the backbone sees of the whole image tells where transformers look",
    "salient": "Transformers start where the backbone's features are strong",
}
# More than most backbones were trained at: objects look larger to them than in training, which
# used crops.
_PRETRAINED_SIZE = 256
# Of the typical image: what cutting must leave, which is most of a photograph of 3:2.
_LEAST_LEFT = 0.6
# How much longer than a crop the sides of an image are at most.
_MOST_CROPS = 2
# From scratch, more pixels cost time before they pay.
_MOST_FROM_SCRATCH = 128
_LEAST_FROM_SCRATCH = 28
# How often images are seen: small sets more often, none less often than this.
_IMAGES_SEEN = {True: 200_000, False: 1_000_000}
_EPOCHS = {True: (5, 12), False: (10, 100)}
# Few images need many steps, and many are quicker in large batches.
_BATCH_SIZES = (16, 32)
_MANY = 2000


def decided(config: ImagesConfig, collection: "Collection", notes: list[str]) -> ImagesConfig:
    """Returns the settings with what was left open, and adds a line for each choice."""
    headers = collection.train.headers()
    channels = config.channels or max((h.channels for h in headers), default=3)
    pretrained = False
    if config.model == "classifier":
        # Small files stay small: enlarged, they would cost much and show nothing more.
        side = min(_typical_side(headers), _PRETRAINED_SIZE)
        size = config.crop_size or config.image_size or (side, side)
        chosen, pretrained = choose_network(config, size, notes)
        config = config.model_copy(update=chosen)
        if pretrained and config.channels is None:
            channels = 3
    elif not is_hook(config.model):
        raise ConfigError(
            "`model` must be classifier, or package.module:function, a function of yours that "
            f"returns a Keras model, but it is {config.model!r}."
        )
    else:
        config = config.model_copy(update={"transformers": 0})
    changes = {"channels": channels, **_fitting(config, headers, pretrained, notes)}
    changes |= _schedule(config, len(collection.train), pretrained, notes)
    if pretrained:
        changes |= fine_tuning(config, changes["steps"], notes)
    return config.model_copy(update=changes)


def choose_network(
    config: ImagesConfig, size: Sequence[int], notes: list[str]
) -> tuple[dict[str, Any], bool]:
    """Returns which network of ours `auto` stands for, and whether it has learned before.

    Args:
        config: The settings.
        size: Height and width of what its backbone sees.
        notes: Gets a line for each choice.
    """
    from stn_tf.models import choose_backbone
    from stn_tf.models.classifier import best_localisation

    choice = choose_backbone(config.backbone, config.weights, image_size=size)
    notes.extend(choice.notes)
    changes: dict[str, Any] = {"backbone": choice.backbone, "weights": choice.weights}
    count = config.transformers
    if count == "auto":
        wanted = config.crop_size is not None or config.crop_scale is not None
        count = int(choice.pretrained or wanted or not config.whole_image)
        notes.append(_TRANSFORMERS[count])
        changes["transformers"] = count
    if count and config.localisation == "auto":
        found = changes["localisation"] = best_localisation(choice.pretrained, config.crop_scale)
        notes.append(f"{_LOCALISATIONS[found]} (localisation={found}).")
    return changes, choice.pretrained


def _typical_side(headers: Sequence[Any]) -> int:
    """The median of the images' longer sides."""
    sides = sorted(max(header.height, header.width) for header in headers)
    return sides[len(sides) // 2] if sides else _PRETRAINED_SIZE


def _fitting(
    config: ImagesConfig, headers: Sequence[Any], pretrained: bool, notes: list[str]
) -> dict[str, Any]:
    """To which size images are brought, and how."""
    typical = _typical_side(headers)
    side = min(max(typical, _LEAST_FROM_SCRATCH), _MOST_FROM_SCRATCH)
    if pretrained:
        side = _PRETRAINED_SIZE
    changes: dict[str, Any] = {}
    if config.transformers and config.image_size is None:
        # What transformers find can be seen closer than in an image of the size of a crop.
        crop = config.crop_size or (side, side)
        side = min(max(typical, *crop), _MOST_CROPS * max(crop))
        if (side, side) != crop:
            changes["crop_size"] = crop
            notes.append(f"Transformers give {_shown(crop)} pixels (crop_size={_told(crop)}).")
    size = config.image_size or (side, side)
    products = [(header.height * size[1], header.width * size[0]) for header in headers]
    shares = sorted(min(pair) / max(pair) for pair in products)
    left = config.crop_pct**2 * (shares[len(shares) // 2] if shares else 1.0)
    resize = config.resize
    if resize == "auto":
        # Cutting keeps the shapes of things; but a transformer is there to search all of an image.
        resize = "squash" if config.transformers or left < _LEAST_LEFT else "center_crop"
    if config.image_size is None or config.resize == "auto":
        cut = ""
        if resize == "center_crop" and left < 0.995:
            cut = f", which leaves {left:.0%} of the typical one"
        notes.append(
            f"Images are brought to {_shown(size)} pixels by {resize}{cut} "
            f"(image_size={_told(size)}, resize={resize})."
        )
    return {**changes, "image_size": size, "resize": resize}


def _shown(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]}"


def _schedule(
    config: ImagesConfig, images: int, pretrained: bool, notes: list[str]
) -> dict[str, Any]:
    """Steps, and what is counted in them."""
    changes: dict[str, Any] = {}
    least, most = _EPOCHS[pretrained]
    batch_size = config.batch_size or _BATCH_SIZES[images >= _MANY]
    per_epoch = images / batch_size
    steps, epochs = config.steps, config.epochs
    if not steps:
        epochs = float(epochs or min(max(_IMAGES_SEEN[pretrained] / images, least), most))
        steps = max(1, math.ceil(epochs * per_epoch))
        changes["epochs"] = epochs
    changes |= {"batch_size": batch_size, "steps": steps}
    if not config.batch_size or not (config.steps or config.epochs):
        seen = epochs if not config.steps and epochs else steps / per_epoch
        often = "once" if seen == 1 else f"{seen:g} times"
        notes.append(
            f"Each image is seen {often}: {steps:,} steps of {batch_size} "
            f"(epochs={seen:g}, batch_size={batch_size})."
        )
    if config.warmup_steps < 0:
        changes["warmup_steps"] = min(500, max(1, steps // 20))
    if not config.evaluate_every:
        # After each epoch, but not so often that it costs more than training.
        changes["evaluate_every"] = max(math.ceil(per_epoch), math.ceil(steps / 20))
    return changes


def fine_tuning(config: ImagesConfig, steps: int, notes: list[str]) -> dict[str, Any]:
    """How pre-trained weights are trained on, where the settings leave it open."""
    usual: dict[str, Any] = {"learning_rate": 2e-4, "rates": {"logits": 5.0}, "ema": 0.99}
    if config.share_backbone or not config.transformers:
        usual |= {"frozen": ("backbone",), "frozen_steps": max(1, steps // 10)}
    changes = {key: value for key, value in usual.items() if key not in config.model_fields_set}
    for key, other in (("frozen", "frozen_steps"), ("frozen_steps", "frozen")):
        if key in config.model_fields_set and not getattr(config, key):
            changes.pop(other, None)  # Nothing is to be frozen.
    if changes:
        told = ", ".join(f"{key}={_told(value)}" for key, value in changes.items())
        notes.append(f"Fine-tuning: {told}.")
    return changes


def _told(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_told(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple) and isinstance(value[0], int):  # A size.
        return str(value[0]) if value[0] == value[1] else str(list(value))
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{item}"' for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
