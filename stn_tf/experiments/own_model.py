"""The user's own model: what it takes, gives and is taught."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from stn_tf.errors import ConfigError
from stn_tf.experiments.hooks import call_hook
from stn_tf.experiments.images_config import ImagesConfig
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec, words

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class Teaching:
    """How a model is taught classes of images.

    Attributes:
        interface: What it takes and gives.
        loss: As `fit` takes it; None for the one that the model is compiled with.
        metrics: Likewise.
        notes: What was decided, a line each.
        labels: How it is told a class: as `one-hot` `[K]`, as an `index`, or as the probability of
            the `second` of two.
    """

    interface: ModelInterface
    loss: Any
    metrics: Sequence[Any]
    notes: tuple[str, ...] = ()
    labels: Literal["one-hot", "index", "second"] = "one-hot"

    def batch(self, images: Any, labels: Any, *weights: Any) -> tuple[Any, ...]:
        """Returns a batch with one-hot labels as the model takes it."""
        import tensorflow as tf

        if self.labels == "index":
            labels = tf.argmax(labels, axis=-1, output_type=tf.int32)
        elif self.labels == "second":
            labels = labels[:, 1:]
        return (images, labels, *weights)

    def training(self, data: Any) -> Any:
        """Returns step data of images in 0..1 as step data that the model takes."""
        return _Taught(data, self)


class _Taught:
    def __init__(self, data: Any, teaching: Teaching):
        self._data = data
        self._teaching = teaching

    def batches(self, start_step: int, **replicas: Any) -> "tf.data.Dataset":
        import tensorflow as tf

        spec = self._teaching.interface.inputs[0]
        low, high = spec.value_range or (0.0, 1.0)
        dtype = tf.as_dtype(spec.dtype)

        def batch(images: Any, *labels: Any) -> tuple[Any, ...]:
            if (low, high) != (0.0, 1.0):
                images = low + images * (high - low)
            images = tf.cast(tf.round(images) if dtype.is_integer else images, dtype)
            return self._teaching.batch(images, *labels)

        return self._data.batches(start_step, **replicas).map(batch)


def build(config: ImagesConfig, interface: ModelInterface | None) -> "keras.Model":
    """Returns what the user's function makes.

    It may take `input_shape`, `classes` (how many), `class_names` and `seed`.

    Raises:
        ConfigError: If it gives no Keras model, or one whose shapes are not known.
    """
    import keras

    offered: dict[str, Any] = {"seed": config.seed, "input_shape": None}
    if interface is not None and interface.inputs:
        offered["input_shape"] = tuple(interface.inputs[0].shape[1:])
    names = () if interface is None else interface.class_names
    model = call_hook(
        "model", config.model, **offered, classes=len(names) or None, class_names=names
    )
    if not isinstance(model, keras.Model):
        raise ConfigError(
            f"`model` {config.model} must return a keras.Model, but it returned a "
            f"{type(model).__name__}."
        )
    if not model.built:
        raise ConfigError(
            f"`model` {config.model} must return a model that knows its inputs, but it is not "
            "built. Call it once, or make it of keras.Input."
        )
    return model


def teaching(config: ImagesConfig, interface: ModelInterface) -> Teaching:
    """Returns how the user's model learns the images of `interface`.

    Raises:
        ConfigError: If it takes or gives something else.
    """
    import keras

    from stn_tf.training.error_percent import ErrorPercent

    model = build(config, interface)
    spec, names = interface.inputs[0], interface.class_names
    inputs, outputs = specs(model)
    if len(inputs) != 1 or not _fits(inputs[0].shape, spec.shape):
        taken = ", ".join(words(found.shape) for found in inputs)
        raise ConfigError(
            f"`model` {config.model} must take one batch of images {words(spec.shape)}, but it "
            f"takes {taken}. Set image_size and channels to what it takes."
        )
    binary = len(names) == 2 and outputs[0].shape[1:] == (1,)
    if len(outputs) != 1 or not (binary or outputs[0].shape[1:] == (len(names),)):
        given = ", ".join(words(found.shape) for found in outputs)
        raise ConfigError(
            f"`model` {config.model} must give a number for each of the {len(names)} classes, "
            f"{words((None, len(names)))}, but it gives {given}. For other tasks give your data "
            "too: data=package.module:function."
        )
    meaning: Literal["logits", "probabilities"] = (
        "probabilities" if ends_in_probabilities(model) else "logits"
    )
    low, high = config.value_range
    notes = [
        f"The model's outputs are taken for {meaning} (by its last activation), and black and "
        f"white for {low:g} and {high:g} (value_range=[{low:g}, {high:g}])."
    ]
    loss = None
    if getattr(model, "loss", None) is None:
        kind = keras.losses.BinaryCrossentropy if binary else keras.losses.CategoricalCrossentropy
        loss = kind(from_logits=meaning == "logits", label_smoothing=config.label_smoothing)
        notes.append(f"The loss is {loss.name} (compile the model to have another).")
    metrics = () if binary or loss is None else (ErrorPercent(),)
    sparse = not binary and "sparse" in _name_of(getattr(model, "loss", None))
    if loss is None and not binary:
        form = "numbers of classes" if sparse else "one-hot"
        notes.append(f"Labels are given as {form}, by the name of the model's own loss.")
    if inputs[0].dtype == "uint8" and config.value_range != (0.0, 255.0):
        raise ConfigError(
            f"`value_range` must be [0.0, 255.0], because `model` {config.model} takes bytes "
            f"(uint8), but it is [{low:g}, {high:g}]."
        )
    image = {
        "name": inputs[0].name,
        "dtype": inputs[0].dtype,
        "value_range": config.value_range,
    }
    return Teaching(
        interface.model_copy(
            update={
                "inputs": (spec.model_copy(update=image),),
                "outputs": (outputs[0].model_copy(update={"meaning": meaning}),),
                "task": "binary" if binary else "classification",
            }
        ),
        loss,
        metrics,
        tuple(notes),
        "second" if binary else "index" if sparse else "one-hot",
    )


def specs(model: "keras.Model") -> tuple[tuple[InputSpec, ...], tuple[OutputSpec, ...]]:
    """Returns what a model's tensors say of its inputs and outputs.

    Raises:
        ConfigError: If they are not known.
    """
    taken, given = _tensors(model)
    inputs = tuple(
        InputSpec(name=name, dtype=str(tensor.dtype), shape=(None, *tensor.shape[1:]))
        for name, tensor in taken.items()
    )
    outputs = tuple(
        OutputSpec(name=name, dtype=str(tensor.dtype), shape=(None, *tensor.shape[1:]))
        for name, tensor in given.items()
    )
    return inputs, outputs


def ends_in_probabilities(model: "keras.Model") -> bool:
    """Whether the last layer of a model, however nested, has a softmax or a sigmoid."""
    import keras

    layer: Any = model
    while isinstance(layer, keras.Model) and layer.layers:
        layer = layer.layers[-1]
    if isinstance(layer, keras.layers.Softmax):
        return True
    activation = getattr(layer, "activation", None)
    return activation in (keras.activations.softmax, keras.activations.sigmoid)


def _tensors(model: "keras.Model") -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs and outputs by name, as tensors without values."""
    import keras

    if inputs := getattr(model, "inputs", None):
        names = list(getattr(model, "output_names", None) or ())
        if len(names) != len(model.outputs):
            names = [str(tensor.name) for tensor in model.outputs]
        return {str(tensor.name): tensor for tensor in inputs}, dict(
            zip(names, model.outputs, strict=True)
        )
    # A subclassed model knows what it was called with.
    shapes = (model.get_build_config() or {}).get("input_shape")
    if isinstance(shapes, Mapping):
        taken = {str(key): _tensor(shape) for key, shape in shapes.items()}
        outputs = model.compute_output_spec(taken)
    elif shapes and not isinstance(shapes[0], Sequence):
        taken = {"input": _tensor(shapes)}
        outputs = model.compute_output_spec(taken["input"])
    else:
        raise ConfigError(
            f"The model {model.name} must tell what it takes, but it does not. Make it of "
            "keras.Input, or let `call` take a tensor or a dictionary of them."
        )
    if isinstance(outputs, Mapping):
        return taken, {str(key): tensor for key, tensor in outputs.items()}
    flat = keras.tree.flatten(outputs)
    names = ["output", *(f"output_{number}" for number in range(2, len(flat) + 1))]
    return taken, dict(zip(names, flat, strict=True))


def _tensor(shape: Sequence[int | None]) -> Any:
    import keras

    return keras.KerasTensor((None, *shape[1:]), dtype="float32")


def _fits(taken: Sequence[int | None], given: Sequence[int | None]) -> bool:
    return len(taken) == len(given) and all(
        None in (a, b) or a == b for a, b in zip(taken, given, strict=True)
    )


def _name_of(loss: Any) -> str:
    """What a loss is called, as text, class or function, or the only one of several."""
    if isinstance(loss, Mapping):
        loss = list(loss.values())
    if isinstance(loss, list | tuple) and len(loss) == 1:
        loss = loss[0]
    name = loss if isinstance(loss, str) else getattr(loss, "name", None) or type(loss).__name__
    return str(getattr(loss, "__name__", name)).lower()
