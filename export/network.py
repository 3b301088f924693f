"""A Keras model as every exported file sees it: from images to named outputs."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export.manifest import Sampler
from stn_tf.export.sampler_nodes import Semantics, semantics_in
from stn_tf.geometry import corners_pixels
from stn_tf.layers import Transformation, record_transformations
from stn_tf.sampling import native_sampler

DEFAULT_OUTPUTS = ("logits", "probabilities", "class")


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A classifier to be exported.

    Attributes:
        model: The live Keras model.
        input_shape: Height, width and channels of the images.
        gives_probabilities: Whether the model ends in a softmax.
        samplers: Its spatial transformers, in the order they are called.
        semantics: The different semantics with which it samples, transformers or not.
    """

    model: keras.Model
    input_shape: tuple[int, int, int]
    gives_probabilities: bool
    samplers: tuple[Sampler, ...]
    semantics: tuple[Semantics, ...]

    def outputs(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns everything the network says about `[N, H, W, C]` images in 0..1.

        `logits` and `probabilities` `[N, classes]`, `class` `[N]` int64; for each transformer
        `theta`, `corners` (pixels of its input) and `crops`, from the second on with the suffix
        `_2`, `_3`. All but `class` are float32.
        """
        output, records = _call(self.model, images)
        output = tf.cast(output, tf.float32)
        if self.gives_probabilities:
            probabilities, logits = output, tf.math.log(tf.maximum(output, 1e-37))
        else:
            probabilities, logits = tf.nn.softmax(output), output
        values = {
            "logits": logits,
            "probabilities": probabilities,
            "class": tf.argmax(logits, axis=-1, output_type=tf.int64),
        }
        for index, record in enumerate(records):
            layer = record.layer
            corners = corners_pixels(
                record.theta,
                record.images.shape[1:-1],
                transform=layer.transform,
                align_corners=layer.align_corners,
            )
            for name, value in (
                ("theta", record.theta),
                ("corners", corners),
                ("crops", record.crops),
            ):
                values[suffixed(name, index)] = tf.cast(value, tf.float32)
        return values

    def names(self, *kinds: str) -> tuple[str, ...]:
        """Returns the names of outputs of these kinds (`theta`), one for each transformer."""
        return tuple(suffixed(kind, i) for i in range(len(self.samplers)) for kind in kinds)

    @property
    def images_spec(self) -> tf.TensorSpec:
        """The batch of images that every signature takes."""
        return tf.TensorSpec([None, *self.input_shape], tf.float32, name="images")


def suffixed(kind: str, index: int) -> str:
    """Returns the name of an output of the transformer with that index: theta, theta_2, ..."""
    return kind if index == 0 else f"{kind}_{index + 1}"


def inspect(model: keras.Model, input_shape: Sequence[int] | None = None) -> Network:
    """Looks at a model by tracing it once.

    Args:
        model: Any Keras model: one batch of images -> `[N, classes]`, logits or a softmax.
        input_shape: Height, width and channels; needed if the model does not know them.

    Raises:
        ExportError: If the model's input or output is of another kind.
    """
    height, width, channels = _input_shape(model, input_shape)
    shape = (height, width, channels)
    found: list[Transformation] = []

    @tf.function(autograph=False)
    def trace(images: tf.Tensor) -> tf.Tensor:
        output, records = _call(model, images)
        found.extend(records)
        return output

    function = trace.get_concrete_function(tf.TensorSpec([None, *shape], tf.float32))
    output = function.outputs
    if len(output) != 1 or output[0].shape.rank != 2 or not output[0].dtype.is_floating:
        given = ", ".join(str(list(value.shape)) for value in output)
        raise ExportError(
            f"`model` must give one output [N, classes] of floats, but it gives {given}. "
            "Wrap it in a keras.Model that gives the logits."
        )
    samplers = tuple(
        Sampler(
            transform=record.layer.transform.name,
            options=record.layer.transform.options(),
            kernel=record.layer.kernel,
            padding=record.layer.padding,
            align_corners=record.layer.align_corners,
            input_size=tuple(record.images.shape[1:-1]),
            output_size=tuple(record.crops.shape[1:-1]),
        )
        for record in found
    )
    return Network(model, shape, _ends_in_softmax(model), samplers, semantics_in(function))


def _call(model: keras.Model, images: tf.Tensor) -> tuple[Any, list[Transformation]]:
    # What is exported holds stock operations, whatever the user computes with.
    with native_sampler(False), record_transformations() as records:
        output = model(images, training=False)
    return output, records


def _input_shape(model: keras.Model, given: Sequence[int] | None) -> tuple[int, ...]:
    if given is None:
        # A functional or sequential model knows its inputs, a subclassed one how it was built.
        inputs = getattr(model, "inputs", None)
        if inputs:
            if len(inputs) != 1:
                raise ExportError(
                    f"`model` must have one input, a batch of images, but it has {len(inputs)}."
                )
            given = inputs[0].shape[1:]
        else:
            built = (model.get_build_config() or {}).get("input_shape")
            if built is None:
                raise ExportError(
                    "`input_shape` must be given for a model that was not built: "
                    "height, width and channels of the images."
                )
            given = built[1:]
    shape = tuple(given)
    if len(shape) != 3 or None in shape:
        raise ExportError(
            f"`input_shape` must be a known (height, width, channels), but it is {shape}. "
            "Give it as an argument, or build the model for images of one size."
        )
    return shape


def _ends_in_softmax(model: keras.Model) -> bool:
    outputs = getattr(model, "outputs", None)
    if not outputs:
        return False
    last = outputs[0]._keras_history.operation
    return (
        isinstance(last, keras.layers.Softmax)
        or getattr(last, "activation", None) is keras.activations.softmax
    )
