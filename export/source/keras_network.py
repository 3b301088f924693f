"""A Keras model as a network to be exported."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.trackable.resource import TrackableResource

from stn_tf.errors import ExportError
from stn_tf.export.publish.manifest import LOOKS, Sampler
from stn_tf.export.source.declaration import Declaration
from stn_tf.export.source.graph_facts import GraphFacts, depth_of
from stn_tf.export.source.heads import Own
from stn_tf.export.source.input_specs import describe, named_specs
from stn_tf.export.source.network import (
    Feeds,
    Network,
    Tensors,
    look_names,
    single,
    single_array,
)
from stn_tf.export.source.task_choice import decide
from stn_tf.export.tensorflow.sampler_nodes import samplers_of
from stn_tf.export.tensorflow.xla import without_xla
from stn_tf.geometry import corners_pixels
from stn_tf.geometry.families import is_ours
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec
from stn_tf.layers import Transformation, record_transformations, spatial_transformers
from stn_tf.sampling import native_sampler

# Nearer than this to halfway between two pixels, in pixels, `nearest` may take either.
_TIE = 1e-3


def inspect(model: keras.Model, declared: Declaration | None = None) -> Network:
    """Looks at a model by tracing it once.

    Its own outputs leave unchanged, under their own names; automatic names become `output`,
    `output_2`. For every spatial transformer there are also `theta`, `corners` (pixels of its
    input) and `crops`, from the second on with the suffix `_2`, `_3`. Half precision becomes
    float32.

    Args:
        model: Any Keras model.
        declared: What cannot be seen in it.

    Raises:
        ExportError: If a shape is unknown, the outputs are no tensors, or what was declared does
            not fit.
    """
    declared = declared or Declaration()
    if not re.match("[A-Za-z0-9.]", model.name):
        raise ExportError(
            f"The model's name must begin with a letter or a digit, as graphs of TensorFlow have "
            f"it, but it is {model.name!r}. Give it another: super().__init__(name=...)."
        )
    found, pack = _inputs(model, declared)
    specs = named_specs(found, declared)
    traced: list[Transformation] = []
    names: list[str | None] = []

    @tf.function(autograph=False)
    def trace(values: list[tf.Tensor]) -> list[tf.Tensor]:
        output, records = _call(model, pack(values))
        traced[:] = records
        flat, names[:] = _outputs(model, output)
        return flat

    halves = _half_layers(model)
    with _in_float32(halves):
        function = trace.get_concrete_function(list(specs.values()))
    facts = GraphFacts(without_xla(function))
    own = [
        Own(name, tensor.dtype.name, _shape(tensor), facts.activation(index))
        for index, (name, tensor) in enumerate(
            zip(names, function.graph.structured_outputs, strict=True)
        )
    ]
    head = decide(own, declared)
    inputs, notes = describe(specs, declared, facts)
    looks = look_names(len(traced), {*head.own, *filter(None, _derived_names(head))})
    samplers = tuple(_sampler(record, inputs) for record in traced)
    outputs = (*head.outputs(own), *_look_specs(traced, looks))

    def answer(values: Tensors) -> dict[str, tf.Tensor]:
        with _in_float32(halves):
            output, records = _call(model, pack([values[name] for name in specs]))
        flat, _ = _outputs(model, output)
        answers = {n: single(v) for n, v in zip(head.own, flat, strict=True)}
        answers |= head.derive(answers)
        for triple, record in zip(looks, records, strict=True):
            answers |= dict(zip(triple, _look(record), strict=True))
        return answers

    def as_given(feeds: Feeds) -> dict[str, np.ndarray]:
        with record_transformations() as records:
            output = model(pack([tf.constant(feeds[name]) for name in specs]), training=False)
        flat, _ = _outputs(model, output)
        said = {n: single_array(v) for n, v in zip(head.own, flat, strict=True)}
        for triple, record in zip(looks, _outside_loops(records, traced), strict=True):
            said |= {n: single_array(v) for n, v in zip(triple, _look(record), strict=True)}
        return said

    def live(feeds: Feeds) -> dict[str, np.ndarray]:
        with _in_float32(halves):
            return as_given(feeds)

    def ties(feeds: Feeds) -> np.ndarray:
        with _in_float32(halves), record_transformations() as records:
            model(pack([tf.constant(feeds[name]) for name in specs]), training=False)
        return np.any([_tied(record) for record in _outside_loops(records, traced)], axis=0)

    return Network(
        name=model.name,
        interface=ModelInterface(
            inputs=inputs, outputs=outputs, task=head.task, class_names=head.class_names
        ),
        inputs=specs,
        answer=answer,
        live=live,
        head=head,
        samplers=samplers,
        looks=looks,
        sampled=samplers_of(function),
        owner=_tables(model),
        ties=ties if any(sampler.kernel == "nearest" for sampler in samplers) else None,
        half=as_given if halves else None,
        notes=tuple(filter(None, (*notes, *head.notes, *_hidden(model, traced)))),
    )


def _outside_loops(
    records: list[Transformation], traced: list[Transformation]
) -> list[Transformation]:
    """The records of a call without a graph that are records of one in a graph too."""
    return [record for record in records if any(record.layer is one.layer for one in traced)]


def _tables(model: keras.Model) -> list[TrackableResource]:
    """The lookup tables of its layers, which are no variables."""
    return [
        value
        for layer in model._flatten_layers()
        for value in vars(layer).values()
        if isinstance(value, TrackableResource)
    ]


def _hidden(model: keras.Model, traced: list[Transformation]) -> list[str]:
    """Lines about transformers of which nothing is told."""
    shown = {id(record.layer) for record in traced}
    return [
        f"What `{layer.name}` does is no output: it is called in a loop or a branch, or not at all."
        for layer in spatial_transformers(model)
        if id(layer) not in shown
    ]


def _call(model: keras.Model, inputs: Any) -> tuple[Any, list[Transformation]]:
    # What is exported holds stock operations, whatever the user computes with.
    with native_sampler(False), record_transformations() as records:
        output = model(inputs, training=False)
    return output, records


def _inputs(
    model: keras.Model, declared: Declaration
) -> tuple[list[tuple[str | None, tf.TensorSpec]], Callable[[list[tf.Tensor]], Any]]:
    """The inputs, and how a list of their values becomes what the model is called with."""
    tensors = getattr(model, "inputs", None) or []
    if tensors:
        for tensor in tensors:
            if getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False):
                raise ExportError(
                    f"The input `{tensor.name}` must be a dense tensor, but it is sparse or "
                    "ragged. Give the model a dense input."
                )
        structure = getattr(model, "_inputs_struct", None)
        if structure is None:  # A Sequential model.
            structure = tensors[0]
        found = [
            (None if _automatic(t.name, "InputLayer") else t.name, tf.TensorSpec(t.shape, t.dtype))
            for t in tensors
        ]
        if isinstance(structure, Mapping) and len(structure) == len(tensors):
            by_id = {id(value): key for key, value in structure.items()}
            found = [(by_id.get(id(t)), s) for t, (_, s) in zip(tensors, found, strict=True)]
        wanted = [t.dtype for t in tensors]

        def pack(values: list[tf.Tensor]) -> Any:
            cast = [tf.cast(v, dtype) for v, dtype in zip(values, wanted, strict=True)]
            return keras.tree.pack_sequence_as(structure, cast)

        return found, pack
    if declared.input_shape is not None:
        spec = tf.TensorSpec([None, *declared.input_shape])
        return [(None, spec)], lambda values: values[0]
    config = model.get_build_config() or {}
    shapes = config.get("input_shape", config.get("shapes_dict"))
    if shapes is None:
        raise ExportError(
            "`input_shape` must be given for a model that was not built: "
            "height, width and channels of the images."
        )
    if isinstance(shapes, Mapping):
        keys = list(shapes)
        several: list[tuple[str | None, tf.TensorSpec]] = [
            (str(key), tf.TensorSpec([None, *shapes[key][1:]])) for key in keys
        ]
        if "shapes_dict" in config:  # Arguments of `call`, such as left_shape.
            raise ExportError(
                "A subclassed model must take its inputs as one argument, but it takes "
                f"{', '.join(keys)}. Let `call` take a dictionary or a list of them."
            )
        return several, lambda values: dict(zip(keys, values, strict=True))
    if isinstance(shapes, Sequence) and shapes and isinstance(shapes[0], Sequence):
        specs = [(None, tf.TensorSpec([None, *shape[1:]])) for shape in shapes]
        return [*specs], lambda values: list(values)
    return [(None, tf.TensorSpec([None, *shapes[1:]]))], lambda values: values[0]


def _outputs(model: keras.Model, output: Any) -> tuple[list[tf.Tensor], list[str | None]]:
    """The output as a list, and the names that the user gave."""
    if isinstance(output, Mapping) and all(not isinstance(v, Mapping) for v in output.values()):
        flat = [tf.convert_to_tensor(value) for value in output.values()]
        return flat, [str(key) for key in output]
    flat = [tf.convert_to_tensor(value) for value in keras.tree.flatten(output)]
    symbolic = keras.tree.flatten(getattr(model, "outputs", None) or [])
    names: list[str | None] = [None] * len(flat)
    if len(symbolic) == len(flat):
        for index, tensor in enumerate(symbolic):
            operation = tensor._keras_history.operation
            if not _automatic(operation.name, type(operation).__name__):
                names[index] = operation.name
    # Two outputs of one layer have one name between them.
    return flat, [name if names.count(name) == 1 else None for name in names]


def _automatic(name: str, kind: str) -> bool:
    """Whether Keras made a name up: `dense_3` of a Dense."""
    plain = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", kind)
    plain = re.sub(r"([a-z])([A-Z])", r"\1_\2", plain).lower()
    stems = "|".join({re.escape(plain), "input_layer", "keras_tensor", "input"})
    return re.fullmatch(rf"(?:{stems})(?:_?\d+)?", name) is not None


def _half_layers(model: keras.Model) -> list[keras.layers.Layer]:
    halves = ("float16", "bfloat16")
    return [layer for layer in model._flatten_layers() if layer.compute_dtype in halves]


@contextlib.contextmanager
def _in_float32(layers: list[keras.layers.Layer]) -> Iterator[None]:
    """Has layers compute in float32 with the weights that they have."""
    before = [layer._dtype_policy for layer in layers]
    for layer in layers:
        policy = keras.DTypePolicy("float32")
        # Weights in half precision are widened when they are read.
        policy._variable_dtype = layer.variable_dtype
        layer._dtype_policy = policy
    try:
        yield
    finally:
        for layer, policy in zip(layers, before, strict=True):
            layer._dtype_policy = policy


def _shape(tensor: tf.Tensor) -> tuple[int | None, ...]:
    if tensor.shape.rank is None:
        raise ExportError(
            f"The model's outputs must have a known rank, but `{tensor.name}` has none. "
            "End the model with a layer that sets it."
        )
    return tuple(tensor.shape)


def _derived_names(head: Any) -> tuple[str | None, ...]:
    return head.logits, head.probabilities, head.classes


def _look(record: Transformation) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    layer = record.layer
    size = record.images.shape[1:-1]
    corners = corners_pixels(
        record.theta,
        size if size.is_fully_defined() else tf.shape(record.images)[1:-1],
        transform=layer.transform,
        align_corners=layer.align_corners,
    )
    return record.theta, corners, single(record.crops)


def _look_specs(
    records: Sequence[Transformation], looks: tuple[tuple[str, str, str], ...]
) -> tuple[OutputSpec, ...]:
    found = []
    for triple, record in zip(looks, records, strict=True):
        dimensions = record.layer.transform.dimensions
        leading = len(record.layer.transform.theta_shape)
        batch = tuple(record.theta.shape)[: len(record.theta.shape) - leading]
        shapes = (
            tuple(record.theta.shape),
            (*batch, 2**dimensions, dimensions),
            tuple(record.crops.shape),
        )
        for name, meaning, shape in zip(triple, LOOKS, shapes, strict=True):
            found.append(OutputSpec(name=name, dtype="float32", shape=shape, meaning=meaning))
    return tuple(found)


def _sampler(record: Transformation, inputs: Sequence[InputSpec]) -> Sampler:
    layer = record.layer
    dimensions = layer.transform.dimensions
    size = tuple(record.images.shape[1:-1])
    reads = len(inputs) == 1 and inputs[0].is_image and size == inputs[0].size
    family = type(layer.transform)
    ours = is_ours(layer.transform)
    return Sampler(
        # A family of the user's own may have a name of ours.
        transform=layer.transform.name if ours else f"{family.__module__}.{family.__qualname__}",
        options=layer.transform.options(),
        kernel=layer.kernel,
        padding=layer.padding,
        align_corners=layer.align_corners,
        antialias=layer.antialias,
        input_size=size,
        output_size=tuple(record.crops.shape[-1 - dimensions : -1]),
        reads_images=reads,
        depth=depth_of(record.theta),
    )


def _tied(record: Transformation) -> np.ndarray:
    grid = record.layer.warp.points(record.theta, record.images.shape[1:-1]).numpy()
    if record.layer.kernel != "nearest":
        return np.zeros(len(grid), bool)
    size = np.array(record.images.shape[1:-1][::-1], np.float32)
    if record.layer.align_corners:
        pixels = (grid + 1.0) * (size - 1.0) / 2.0
    else:
        pixels = ((grid + 1.0) * size - 1.0) / 2.0
    near = np.abs(pixels - np.floor(pixels) - 0.5) < _TIE
    return np.asarray(near.reshape(len(grid), -1).any(axis=1))
