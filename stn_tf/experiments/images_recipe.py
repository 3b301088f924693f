"""Anybody's images and networks for photographs, as a recipe for `fit`."""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stn_tf.errors import ConfigError
from stn_tf.experiments import own_model
from stn_tf.experiments.hooks import is_hook
from stn_tf.experiments.images_config import ImagesConfig
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec
from stn_tf.recipe import Batches, Prepared

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from stn_tf.data import Collection, Part

# More than most backbones were trained at: objects look larger to them than in training, which
# used crops.
_PRETRAINED_SIZE = 256
# Of the typical image: what cutting must leave, which is most of a photograph of 3:2.
_LEAST_LEFT = 0.6
# From scratch, more pixels cost time before they pay.
_MOST_FROM_SCRATCH = 128
_LEAST_FROM_SCRATCH = 28
# How often images are seen: small sets more often, none less often than this.
_IMAGES_SEEN = {True: 400_000, False: 1_000_000}
_EPOCHS = {True: (5, 40), False: (10, 100)}


class ImagesRecipe:
    """Makes a classifier of photographs, or the user's own model, and data for it."""

    Config = ImagesConfig

    def prepare(self, config: ImagesConfig, split: Path | None = None) -> Prepared:
        if is_hook(config.data):
            from stn_tf.experiments import own_data

            return own_data.prepare(config)
        from stn_tf import data
        from stn_tf.data.augmentation import Augmentation

        if config.data_dir is None:
            raise ConfigError(
                "`data_dir` must name the images: a folder with one sub-folder for each class, or "
                "a table of paths and labels, but none was given. Add `--data-dir DIR`."
            )
        config = config.model_copy(update={"data_dir": str(Path(config.data_dir).resolve())})
        collection = _collection(config, split)
        notes = list(collection.notes)
        augmentation = Augmentation.of(config.augment)
        config = self._decided(config, collection, notes)
        interface = _interface(config, collection.classes)
        taught = _teaching(config, interface)
        interface, spec = taught.interface, taught.interface.image
        notes.extend(taught.notes)
        notes.append(augmentation.summary())
        train = data.TrainingImages(
            data.DecodedImages(
                collection.train,
                spec,
                oversample=augmentation.oversample,
                cache=config.cache,
                cache_dir=_cache_dir(config, "train"),
                on_unreadable=config.on_unreadable,
            ),
            collection.train.labels,
            collection.classes,
            batch_size=config.batch_size,
            seed=config.seed,
            size=config.image_size,
            augmentation=augmentation,
            balance=config.balance,
            class_weights=config.class_weights or None,
            mixing=augmentation.mixing(),
        )
        notes.extend(train.notes)
        return Prepared(
            config,
            interface,
            build=lambda: build_network(config, interface, config.weights),
            train=taught.training(train),
            parts=_Parts(config, collection, spec, taught).part,
            loss=taught.loss,
            metrics=taught.metrics,
            notes=tuple(notes),
            write_split=lambda path: data.write_split(collection, path),
            names=lambda part: getattr(collection, part).names,
        )

    def model(self, config: ImagesConfig, interface: ModelInterface) -> "keras.Model":
        # The run's own weights come next.
        return build_network(config, interface, "none")

    def _decided(
        self, config: ImagesConfig, collection: "Collection", notes: list[str]
    ) -> ImagesConfig:
        """Returns the settings with what was left open, and adds a line for each choice."""
        headers = collection.train.headers()
        changes: dict[str, Any] = {}
        channels = config.channels or max((h.channels for h in headers), default=3)
        pretrained = False
        if config.model == "classifier":
            size = config.crop_size or config.image_size or (_PRETRAINED_SIZE,) * 2
            chosen, pretrained = choose_network(config, size, notes)
            changes |= chosen
            if pretrained and config.channels is None:
                channels = 3
        elif not is_hook(config.model):
            raise ConfigError(
                "`model` must be classifier, or package.module:function, a function of yours that "
                f"returns a Keras model, but it is {config.model!r}."
            )
        if config.image_size is None:
            side = _PRETRAINED_SIZE if pretrained else _typical_side(headers)
            changes["image_size"] = (side, side)
        height, width = size = config.image_size or changes["image_size"]
        resize, left = _fitting(config, size, headers)
        changes["resize"] = resize
        if config.image_size is None or config.resize == "auto":
            told = height if height == width else f"[{height}, {width}]"
            cut = f", which leaves {left:.0%} of the typical one" if left < 0.995 else ""
            notes.append(
                f"Images are brought to {height} x {width} pixels by {resize}{cut} "
                f"(image_size={told}, resize={resize})."
            )
        changes["channels"] = channels
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

    choice = choose_backbone(config.backbone, config.weights, image_size=size)
    notes.extend(choice.notes)
    changes: dict[str, Any] = {"backbone": choice.backbone, "weights": choice.weights}
    if config.transformers and config.localisation == "auto":
        found = changes["localisation"] = "backbone" if choice.pretrained else "small"
        notes.append(f"What finds the crops is {found} (localisation={found}).")
    return changes, choice.pretrained


def build_network(config: ImagesConfig, interface: ModelInterface, weights: str) -> "keras.Model":
    """Returns the user's own model, or one of ours with these weights."""
    if is_hook(config.model):
        return own_model.build(config, interface)
    from stn_tf.models import build_classifier

    shape = [length for length in interface.inputs[0].shape[1:] if length is not None]
    return build_classifier(
        shape,
        len(interface.class_names),
        backbone=config.backbone,
        weights=weights,
        transformers=config.transformers,
        transformation=config.transformation,
        crop_size=config.crop_size,
        crop_scale=config.crop_scale,
        share_backbone=config.share_backbone,
        whole_image=config.whole_image,
        localisation=config.localisation,
        dropout=config.dropout,
        batch_norm=config.batch_norm,
    )


def _teaching(config: ImagesConfig, interface: ModelInterface) -> own_model.Teaching:
    if is_hook(config.model):
        return own_model.teaching(config, interface)
    import keras

    from stn_tf.training.error_percent import ErrorPercent

    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=config.label_smoothing
    )
    return own_model.Teaching(interface, loss, (ErrorPercent(),))


def _collection(config: ImagesConfig, split: Path | None) -> "Collection":
    from stn_tf import data

    collection = data.load_collection(
        Path(config.data_dir or ""),
        kind=config.data,
        validation_share=config.validation_share,
        test_share=config.test_share,
    )
    return collection if split is None else data.read_split(collection, split)


def _interface(config: ImagesConfig, classes: Sequence[str]) -> ModelInterface:
    assert config.image_size is not None
    images = InputSpec(
        name="images",
        dtype="float32",
        shape=(None, *config.image_size, config.channels),
        layout="NHWC",
        color_space="grayscale" if config.channels == 1 else "rgb",
        value_range=(0.0, 1.0),
        resize=config.resize,
        crop_pct=config.crop_pct if config.resize == "center_crop" else 1.0,
    )
    names = tuple(classes)
    logits = OutputSpec(name="logits", dtype="float32", shape=(None, len(names)), meaning="logits")
    return ModelInterface(
        inputs=(images,), outputs=(logits,), task="classification", class_names=names
    )


def _typical_side(headers: Sequence[Any]) -> int:
    """The median of the images' longer sides, within what training from scratch can use."""
    sides = sorted(max(header.height, header.width) for header in headers)
    side = sides[len(sides) // 2] if sides else _MOST_FROM_SCRATCH
    return min(max(side, _LEAST_FROM_SCRATCH), _MOST_FROM_SCRATCH)


def _fitting(
    config: ImagesConfig, size: Sequence[int], headers: Sequence[Any]
) -> tuple[str, float]:
    """How images are brought to a size, and which share of the typical one that leaves."""
    products = [(header.height * size[1], header.width * size[0]) for header in headers]
    shares = sorted(min(pair) / max(pair) for pair in products)
    left = config.crop_pct**2 * (shares[len(shares) // 2] if shares else 1.0)
    resize = config.resize
    if resize == "auto":
        # Cutting keeps the shapes of things; but a transformer is there to search all of an image.
        resize = "squash" if config.transformers or left < _LEAST_LEFT else "center_crop"
    return resize, left if resize == "center_crop" else 1.0


def _schedule(
    config: ImagesConfig, images: int, pretrained: bool, notes: list[str]
) -> dict[str, Any]:
    """Steps, and what is counted in them."""
    changes: dict[str, Any] = {}
    least, most = _EPOCHS[pretrained]
    per_epoch = images / config.batch_size
    steps = config.steps
    changes["steps"] = steps
    if not steps:
        epochs = config.epochs or min(max(_IMAGES_SEEN[pretrained] / images, least), most)
        steps = max(1, math.ceil(epochs * per_epoch))
        changes |= {"epochs": float(epochs), "steps": steps}
        if config.epochs is None:
            notes.append(
                f"Each image is seen {epochs:g} times: {steps:,} steps of {config.batch_size} "
                f"(epochs={epochs:g})."
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
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{item}"' for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cache_dir(config: ImagesConfig, part: str) -> str | None:
    return None if config.cache_dir is None else str(Path(config.cache_dir, part))


class _Parts:
    """Batches of the parts as a server sees them; images are decoded once while they fit."""

    def __init__(
        self,
        config: ImagesConfig,
        collection: "Collection",
        spec: InputSpec,
        taught: own_model.Teaching,
    ):
        self._config = config
        self._collection = collection
        self._spec = spec
        self._taught = taught

    def part(self, name: str) -> Iterable[Any] | None:
        members = getattr(self._collection, name)
        return Batches(lambda: self._batches(name, members)) if len(members) else None

    def _batches(self, name: str, members: "Part") -> Iterable[Any]:
        from stn_tf import data

        decoded = None
        if name == "validation":  # Seen again and again.
            decoded = data.DecodedImages(
                members,
                self._spec,
                cache=self._config.cache,
                cache_dir=_cache_dir(self._config, name),
            )
        dataset = data.evaluation_images(
            members, self._spec, len(self._collection.classes), self._config.batch_size, decoded
        ).map(self._taught.batch)
        return _Named(dataset)


class _Named:
    """Batches that name the image which cannot be read."""

    def __init__(self, dataset: "tf.data.Dataset"):
        self._dataset = dataset

    def __iter__(self) -> Iterator[Any]:
        from stn_tf.data import data_errors

        with data_errors():
            yield from self._dataset
