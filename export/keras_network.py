"""A Keras model as a network to be exported."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export.manifest import Sampler
from stn_tf.export.network import DEFAULT_OUTPUTS, IMAGES, Network, Tensors, suffixed
from stn_tf.export.sampler_nodes import semantics_in
from stn_tf.geometry import corners_pixels
from stn_tf.layers import Transformation, record_transformations
from stn_tf.sampling import native_sampler

# Nearer than this to halfway between two pixels, in pixels, `nearest` may take either.
_TIE = 1e-3


def inspect(model: keras.Model, input_shape: Sequence[int] | None = None) -> Network:
    """Looks at a model by tracing it once.

    A model with one output `[N, classes]` is a classifier: it gets the outputs `logits`,
    `probabilities` and `class`. Others keep the outputs that they have, under their own names. For
    every spatial transformer there are also `theta`, `corners` (pixels of its input) and `crops`,
    from the second on with the suffix `_2`, `_3`. All but integers are float32.

    Args:
        model: Any Keras model. One input is called `images`, several have their own names.
        input_shape: The shape of one image, channels last; needed if the model does not know it.

    Raises:
        ExportError: If a shape is unknown, or the outputs are no tensors.
    """
    inputs, feed = _inputs(model, input_shape)
    found: list[Transformation] = []
    kinds: dict[str, tf.TensorSpec] = {}

    @tf.function(autograph=False)
    def trace(values: Tensors) -> Any:
        output, records = _call(model, feed(values))
        found.extend(records)
        named = _named_outputs(model, output)
        kinds.update({name: tf.TensorSpec(v.shape, v.dtype) for name, v in named.items()})
        return output

    function = trace.get_concrete_function(dict(inputs))
    samplers = tuple(_sampler(record) for record in found)
    (first, *more) = kinds.values()
    classifies = not more and first.shape.rank == 2 and first.dtype.is_floating
    softmax = classifies and _ends_in_softmax(model)
    default = DEFAULT_OUTPUTS if classifies else tuple(kinds)

    def answer(values: Tensors) -> dict[str, tf.Tensor]:
        output, records = _call(model, feed(values))
        named = _named_outputs(model, output)
        answers = _as_classes(next(iter(named.values())), softmax) if classifies else named
        for index, record in enumerate(records):
            answers |= {suffixed(kind, index): v for kind, v in _looks(record).items()}
        return {name: _single(value) for name, value in answers.items()}

    def ties(values: Tensors) -> np.ndarray:
        with record_transformations() as records:
            model(feed(values), training=False)
        return np.any([_tied(record) for record in records], axis=0)

    looks = tuple(suffixed(k, i) for i in range(len(found)) for k in ("theta", "corners", "crops"))
    return Network(
        name=model.name,
        inputs=inputs,
        answer=answer,
        outputs=(*default, *looks),
        default_outputs=default,
        classifies=classifies,
        samplers=samplers,
        semantics=semantics_in(function),
        ties=ties if any(sampler.kernel == "nearest" for sampler in samplers) else None,
    )


def _call(model: keras.Model, inputs: Any) -> tuple[Any, list[Transformation]]:
    # What is exported holds stock operations, whatever the user computes with.
    with native_sampler(False), record_transformations() as records:
        output = model(inputs, training=False)
    return output, records


def _inputs(
    model: keras.Model, given: Sequence[int] | None
) -> tuple[dict[str, tf.TensorSpec], Any]:
    """The inputs by name, and how to call the model with them."""
    tensors = getattr(model, "inputs", None) or []
    if len(tensors) > 1:
        specs = {t.name: tf.TensorSpec([None, *t.shape[1:]], t.dtype, t.name) for t in tensors}
        for name, spec in specs.items():
            _known(f"The input `{name}` of the model", tuple(spec.shape[1:]))
        names = list(specs)
        # Keras takes the inputs in the structure that the model was made with.
        structure = getattr(model, "_inputs_struct", None)
        if isinstance(structure, dict):
            return specs, lambda values: {name: values[name] for name in names}
        return specs, lambda values: [values[name] for name in names]
    dtype = "float32"
    if given is None and tensors:
        given = tensors[0].shape[1:]
    elif given is None:
        # A subclassed model knows how it was built.
        built = (model.get_build_config() or {}).get("input_shape")
        if built is None:
            raise ExportError(
                "`input_shape` must be given for a model that was not built: "
                "height, width and channels of the images."
            )
        given = built[1:]
    shape = _known("`input_shape`", tuple(given))
    return {IMAGES: tf.TensorSpec([None, *shape], dtype, IMAGES)}, lambda values: values[IMAGES]


def _known(what: str, shape: tuple[Any, ...]) -> tuple[int, ...]:
    if None in shape or not shape:
        raise ExportError(
            f"{what} must have a known shape such as (height, width, channels), but it is "
            f"{shape}. Give `input_shape`, or build the model for images of one size."
        )
    return shape


def _named_outputs(model: keras.Model, output: Any) -> dict[str, tf.Tensor]:
    if isinstance(output, Mapping):
        return dict(output)
    values = keras.tree.flatten(output)
    names = list(getattr(model, "output_names", None) or [])
    if len(names) != len(values) or len(set(names)) != len(names):
        names = [suffixed("output", index) for index in range(len(values))]
    return dict(zip(names, values, strict=True))


def _as_classes(output: tf.Tensor, softmax: bool) -> dict[str, tf.Tensor]:
    output = tf.cast(output, tf.float32)
    if softmax:
        probabilities, logits = output, tf.math.log(tf.maximum(output, 1e-37))
    else:
        probabilities, logits = tf.nn.softmax(output), output
    classes = tf.argmax(logits, axis=-1, output_type=tf.int64)
    return dict(zip(DEFAULT_OUTPUTS, (logits, probabilities, classes), strict=True))


def _looks(record: Transformation) -> dict[str, tf.Tensor]:
    layer = record.layer
    looks = {"theta": record.theta, "corners": record.theta, "crops": record.crops}
    looks["corners"] = corners_pixels(
        record.theta,
        record.images.shape[1:-1],
        transform=layer.transform,
        align_corners=layer.align_corners,
    )
    return looks


def _single(value: tf.Tensor) -> tf.Tensor:
    return tf.cast(value, tf.float32) if value.dtype.is_floating else value


def _sampler(record: Transformation) -> Sampler:
    layer = record.layer
    return Sampler(
        transform=layer.transform.name,
        options=layer.transform.options(),
        kernel=layer.kernel,
        padding=layer.padding,
        align_corners=layer.align_corners,
        input_size=tuple(record.images.shape[1:-1]),
        output_size=tuple(record.crops.shape[1:-1]),
    )


def _tied(record: Transformation) -> np.ndarray:
    grid = record.grid.numpy()
    if record.layer.kernel != "nearest":
        return np.zeros(len(grid), bool)
    size = np.array(record.images.shape[1:-1][::-1], np.float32)
    if record.layer.align_corners:
        pixels = (grid + 1.0) * (size - 1.0) / 2.0
    else:
        pixels = ((grid + 1.0) * size - 1.0) / 2.0
    near = np.abs(pixels - np.floor(pixels) - 0.5) < _TIE
    return near.reshape(len(grid), -1).any(axis=1)


def _ends_in_softmax(model: keras.Model) -> bool:
    outputs = getattr(model, "outputs", None)
    if not outputs:
        return False
    last = outputs[0]._keras_history.operation
    return (
        isinstance(last, keras.layers.Softmax)
        or getattr(last, "activation", None) is keras.activations.softmax
    )
