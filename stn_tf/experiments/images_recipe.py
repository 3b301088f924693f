"""Anybody's images and networks for photographs, as a recipe for `fit`."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stn_tf.errors import ConfigError
from stn_tf.experiments import images_choices, own_model
from stn_tf.experiments.hooks import is_hook
from stn_tf.experiments.images_config import ImagesConfig
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec
from stn_tf.recipe import Batches, Prepared

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from stn_tf.data import Collection, Part


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
        config = images_choices.decided(config, collection, notes)
        interface = _interface(config, collection.classes)
        taught = _teaching(config, interface)
        interface, spec = taught.interface, taught.interface.image
        notes.extend(taught.notes)
        notes.append(augmentation.summary())
        decoded = data.DecodedImages(
            collection.train,
            spec,
            oversample=augmentation.oversample,
            cache=config.cache,
            cache_dir=_cache_dir(config, "train"),
            on_unreadable=config.on_unreadable,
        )
        train = data.TrainingImages(
            decoded,
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
            parts=_Parts(config, collection, spec, taught, keep=decoded.keeps_all).part,
            objective=lambda: (taught.loss, taught.metrics),
            notes=tuple(notes),
            write_split=lambda path: data.write_split(collection, path),
            names=lambda part: getattr(collection, part).names,
        )

    def model(self, config: ImagesConfig, interface: ModelInterface) -> "keras.Model":
        # The run's own weights come next.
        return build_network(config, interface, "none")


def build_network(config: ImagesConfig, interface: ModelInterface, weights: str) -> "keras.Model":
    """Returns the user's own model, or one of ours with these weights."""
    if is_hook(config.model):
        return own_model.build(config, interface)
    from stn_tf.models import build_classifier

    assert config.transformers != "auto"
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
    assert config.resize != "auto"
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


def _cache_dir(config: ImagesConfig, part: str) -> str | None:
    return None if config.cache_dir is None else str(Path(config.cache_dir, part))


class _Parts:
    """Batches of the parts as a server sees them; with `keep`, images are decoded once."""

    def __init__(
        self,
        config: ImagesConfig,
        collection: "Collection",
        spec: InputSpec,
        taught: own_model.Teaching,
        *,
        keep: bool,
    ):
        self._config = config
        self._keep = keep
        self._collection = collection
        self._spec = spec
        self._taught = taught

    def part(self, name: str) -> Iterable[Any] | None:
        members = getattr(self._collection, name)
        return Batches(lambda: self._batches(name, members)) if len(members) else None

    def _batches(self, name: str, members: "Part") -> Iterable[Any]:
        from stn_tf import data

        decoded = None
        # Seen again and again; but what does not fit for training is no better used here.
        if name == "validation" and self._keep:
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
