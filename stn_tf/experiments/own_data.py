"""The user's own data: a function that returns datasets, for a model of any task."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from stn_tf.errors import ConfigError
from stn_tf.experiments import own_model
from stn_tf.experiments.hooks import call_hook, is_hook
from stn_tf.experiments.images_choices import choose_network, fine_tuning
from stn_tf.experiments.images_config import ImagesConfig
from stn_tf.experiments.images_recipe import build_network
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec, words
from stn_tf.recipe import PARTS, Prepared
from stn_tf.training.error_percent import ErrorPercent

_EPOCHS = 10.0
_BATCH_SIZE = 32
_CLASSES = "class_names"


def prepare(config: ImagesConfig) -> Prepared:
    """Returns what the settings with `data=package.module:function` stand for.

    The function may take `data_dir`, `image_size`, `batch_size` and `seed`. It returns a mapping of
    `train` and, where there are any, `validation`, `test` and `class_names`; or a tuple of the
    datasets in this order; or `train` alone. Datasets are of batches `(x, y)` or `(x, y, weights)`.

    Raises:
        ConfigError: If it gives something else, or what it gives does not fit the model.
    """
    given = _call(config)
    names = tuple(map(str, given.get(_CLASSES, ())))
    train = given["train"]
    notes: list[str] = []
    if is_hook(config.model):
        interface = _interface(
            config, names, own_model.build(config, _offered(train, names)), notes
        )
        loss, pretrained = None, False
        metrics: tuple[Any, ...] = ()
    else:
        config, interface, pretrained = _of_classifier(config, train, names, notes)
        loss, metrics = _loss(config, train, notes), (ErrorPercent(),)
    config = _with_steps(config, train, notes)
    if "validation" not in given and "monitor" not in config.model_fields_set:
        config = config.model_copy(update={"monitor": "auto"})  # There is nothing to choose by.
    if pretrained:
        config = config.model_copy(update=fine_tuning(config, config.steps, notes))
    return Prepared(
        config,
        interface,
        build=lambda: build_network(config, interface, config.weights),
        train=train,
        parts=lambda part: given.get(part),
        objective=lambda: (loss, metrics),
        notes=tuple(notes),
    )


def _call(config: ImagesConfig) -> dict[str, Any]:
    found = call_hook(
        "data",
        config.data,
        data_dir=config.data_dir,
        image_size=config.image_size,
        batch_size=config.batch_size or _BATCH_SIZE,
        seed=config.seed,
    )
    wrong = ""
    if isinstance(found, tuple | list):
        wrong = f"{len(found)} of them" if len(found) > len(PARTS) else ""
        found = dict(zip(PARTS, found, strict=False))
    elif not isinstance(found, Mapping):
        found = {"train": found}
    given = {str(name): value for name, value in found.items() if value is not None}
    wrong = wrong or ", ".join(map(repr, sorted(given.keys() - {*PARTS, _CLASSES})))
    if wrong or "train" not in given:
        raise ConfigError(
            f"`data` {config.data} must return a mapping of train and, where there are any, "
            f"validation, test and class_names, or up to three datasets in this order, but it has "
            f"{wrong or 'no train'}."
        )
    return given


def _interface(
    config: ImagesConfig, names: tuple[str, ...], model: keras.Model, notes: list[str]
) -> ModelInterface:
    inputs, outputs = own_model.specs(model)
    task = config.task or ("classification" if names else "none")
    if not config.task:
        notes.append(f"The task of the model is {task} (task=...).")
    if task == "classification" and len(outputs) == 1:
        meaning = "probabilities" if own_model.ends_in_probabilities(model) else "logits"
        outputs = (outputs[0].model_copy(update={"meaning": meaning}),)
        if names and outputs[0].shape[1:] != (len(names),):
            raise ConfigError(
                f"`model` {config.model} must give a number for each of the {len(names)} classes "
                f"of `data`, but it gives {words(outputs[0].shape)}."
            )
    return ModelInterface(
        inputs=tuple(_image(spec, config, notes) for spec in inputs),
        outputs=outputs,
        task=task,
        class_names=names,
    )


def _image(spec: InputSpec, config: ImagesConfig, notes: list[str]) -> InputSpec:
    """An input of the rank of images is one; its range is what the settings say, or unknown."""
    colours = {1: "grayscale", 3: "rgb"}
    if len(spec.shape) != 4 or spec.shape[-1] not in colours:
        return spec
    found: dict[str, Any] = {"layout": "NHWC", "color_space": colours[spec.shape[-1]]}
    if "value_range" in config.model_fields_set:
        found["value_range"] = config.value_range
    elif spec.value_range is None:
        notes.append(
            f"What black and white are in `{spec.name}` is unknown: once exported, the model takes "
            "arrays, and image files only if you say it (value_range=[0, 1])."
        )
    return spec.model_copy(update=found)


def _of_classifier(
    config: ImagesConfig, train: Any, names: tuple[str, ...], notes: list[str]
) -> tuple[ImagesConfig, ModelInterface, bool]:
    """A classifier of ours on the user's batches, and whether it has learned before."""
    if not names:
        raise ConfigError(
            f"`data` {config.data} must return class_names too, because the model is one of "
            "ours. Return a mapping, or give a model=package.module:function."
        )
    images = _element(train)[0]
    if len(images.shape) != 4 or None in images.shape[1:] or images.shape[-1] not in (1, 3):
        raise ConfigError(
            f"`data` {config.data} must give images [N, H, W, C] of one size in 0..1 for a model "
            f"of ours, but it gives {words(images.shape)}. Give a model=package.module:function."
        )
    height, width, channels = images.shape[1:]
    changes, pretrained = choose_network(config, config.crop_size or (height, width), notes)
    config = config.model_copy(
        update={**changes, "image_size": (height, width), "channels": channels}
    )
    spec = InputSpec(
        name="images",
        dtype="float32",
        shape=(None, height, width, channels),
        layout="NHWC",
        color_space="grayscale" if channels == 1 else "rgb",
        value_range=(0.0, 1.0),
        resize="squash" if config.resize == "auto" else config.resize,
    )
    logits = OutputSpec(name="logits", dtype="float32", shape=(None, len(names)), meaning="logits")
    notes.append("Images are taken to be in 0..1, as our models take them.")
    interface = ModelInterface(
        inputs=(spec,), outputs=(logits,), task="classification", class_names=names
    )
    return config, interface, pretrained


def _loss(config: ImagesConfig, train: Any, notes: list[str]) -> keras.losses.Loss:
    labels = _element(train)[1]
    if len(labels.shape) == 1:
        notes.append(
            "Labels are taken for numbers of classes; label_smoothing is for one-hot labels alone."
        )
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=config.label_smoothing
    )


def _offered(train: Any, names: tuple[str, ...]) -> ModelInterface:
    """What a function that makes a model may know: what the data holds, if that is one tensor."""
    x = _element(train)[0]
    inputs: tuple[InputSpec, ...] = ()
    if hasattr(x, "shape"):
        inputs = (InputSpec(name="x", dtype="float32", shape=(None, *x.shape[1:])),)
    return ModelInterface(inputs=inputs, outputs=(), class_names=names)


def _element(data: Any) -> tuple[Any, ...]:
    """The specs, or the first arrays, of a batch."""
    if isinstance(data, tf.data.Dataset):
        return tuple(data.element_spec)
    if isinstance(data, keras.utils.PyDataset):
        return tuple(data[0])
    return tuple(next(iter(data)))


def _with_steps(config: ImagesConfig, train: Any, notes: list[str]) -> ImagesConfig:
    if config.steps:
        per_epoch: float = config.steps
        changes: dict[str, Any] = {}
    else:
        per_epoch = _batches(train)
        if not math.isfinite(per_epoch):
            raise ConfigError(
                f"`steps` must be given, because nothing says how long `data` {config.data} is: "
                "add --set steps=1000."
            )
        epochs = config.epochs or _EPOCHS
        changes = {"epochs": epochs, "steps": max(1, math.ceil(epochs * per_epoch))}
        notes.append(f"{changes['steps']:,} steps: {epochs:g} times the data (epochs={epochs:g}).")
    steps = config.steps or changes["steps"]
    if config.warmup_steps < 0:
        changes["warmup_steps"] = min(500, max(1, steps // 20))
    if not config.evaluate_every:
        changes["evaluate_every"] = max(math.ceil(min(per_epoch, steps)), math.ceil(steps / 20))
    return config.model_copy(update=changes)


def _batches(train: Iterable[Any]) -> float:
    if isinstance(train, tf.data.Dataset):
        count = int(train.cardinality())
        return float(count) if count > 0 else math.inf
    return float(len(train)) if hasattr(train, "__len__") else math.inf  # type: ignore[arg-type]
