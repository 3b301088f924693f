"""A TensorFlow function as a network to be exported: of Python, or a signature of a SavedModel."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from stn_tf.errors import ExportError, ModelError
from stn_tf.export.publish.manifest import (
    DEFAULT,
    LOOKING,
    LOOKS,
    MANIFEST_FILE,
    Manifest,
    Sampler,
    read_manifest,
)
from stn_tf.export.source import tensorflow_1
from stn_tf.export.source.declaration import Declaration
from stn_tf.export.source.graph_facts import GraphFacts
from stn_tf.export.source.heads import Own
from stn_tf.export.source.input_specs import describe, named_specs
from stn_tf.export.source.network import Feeds, Network, Tensors, single, single_array
from stn_tf.export.source.task_choice import decide
from stn_tf.export.tensorflow.functions import ConcreteFunction
from stn_tf.export.tensorflow.sampler_nodes import samplers_of
from stn_tf.export.tensorflow.xla import without_xla
from stn_tf.interface import ModelInterface, OutputSpec


def inspect_function(function: Any, declared: Declaration | None = None) -> Network:
    """Looks at a `tf.function` or a concrete function.

    Args:
        function: Dense tensors of known ranks -> tensors; the keys of a dictionary are names.
        declared: What cannot be seen in it; its `input_shape` traces a `tf.function` of one
            argument that has no `input_signature`.

    Raises:
        ExportError: If it cannot be traced for tensors of known ranks.
    """
    declared = declared or Declaration()
    concrete = _concrete(function, declared)
    arguments, keywords = concrete.structured_input_signature
    flat = tf.nest.flatten((arguments, keywords))
    found = [(_given_name(spec), spec) for spec in flat]

    def call(values: list[tf.Tensor]) -> Any:
        cast = [tf.cast(v, s.dtype) for v, s in zip(values, flat, strict=True)]
        args, kwargs = tf.nest.pack_sequence_as((arguments, keywords), cast)
        return concrete(*args, **kwargs)

    name = getattr(function, "__name__", None) or "function"
    return _network(re_name(name), concrete, found, call, declared, owner=function)


def load_saved_network(
    folder: Path, signature: str = DEFAULT, declared: Declaration | None = None
) -> Network:
    """Loads a SavedModel; its samplers are found in the graph.

    Args:
        folder: A SavedModel, written by anybody.
        signature: The signature that becomes `serving_default` and the ONNX file.
        declared: What cannot be seen in it.

    Raises:
        ModelError: If the folder holds no SavedModel that loads.
        ExportError: If there is no such signature, or the rank of an input is unknown.
    """
    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        reason = " ".join(str(error).split())
        hint = (
            "`stn-tf migrate` brings models of TensorFlow Addons back"
            if "Resampler" in reason
            else "Save the model again with tf.saved_model.save"
        )
        raise ModelError(f"`{folder}` is no SavedModel that loads: {reason}. {hint}.") from error
    signatures = dict(loaded.signatures)
    notes = []
    if tensorflow_1.has_references(signatures):
        signatures = tensorflow_1.with_constants(Path(folder))
        notes.append(tensorflow_1.NOTE)
    if signature not in signatures:
        raise ExportError(
            f"`signature` must be one of {', '.join(sorted(signatures)) or 'none (it has none)'}, "
            f"but it is {signature!r}. Choose one with --signature."
        )
    function = signatures.pop(signature)
    declared = declared or Declaration()
    transformers = None
    if signature == DEFAULT and (Path(folder) / MANIFEST_FILE).is_file():
        manifest = read_manifest(Path(folder))
        if len(manifest.interface.inputs) == 1:  # It knows more than a SavedModel can say.
            declared = declared.over(Declaration.of(manifest.interface))
        transformers = _transformers(manifest, signatures)
    if signatures.pop(DEFAULT, None) is not None:
        notes.append(
            f"The signature {signature} becomes {DEFAULT}; the SavedModel's own {DEFAULT} is left "
            "out."
        )
    specs = function.structured_input_signature[1]
    found = [(name, spec) for name, spec in sorted(specs.items())]
    kinds = {name: spec.dtype for name, spec in found}

    def call(values: list[tf.Tensor]) -> Any:
        # `loaded` owns the variables of the signatures.
        assert loaded.signatures
        pairs = zip(kinds.items(), values, strict=True)
        return function(**{name: tf.cast(value, dtype) for (name, dtype), value in pairs})

    return _network(
        Path(folder).resolve().name,
        function,
        found,
        call,
        declared,
        owner=loaded,
        others=signatures,
        transformers=transformers,
        notes=tuple(notes),
    )


@dataclasses.dataclass(frozen=True)
class _Transformers:
    """The spatial transformers of a version that we wrote, as its signatures tell of them.

    Attributes:
        samplers: As in its manifest.
        specs: Of theta, corners and crops of each, one after the other.
        look: Inputs by name -> these outputs by name.
    """

    samplers: tuple[Sampler, ...]
    specs: tuple[OutputSpec, ...]
    look: Callable[[Tensors], dict[str, tf.Tensor]]


def _transformers(
    manifest: Manifest, signatures: dict[str, ConcreteFunction]
) -> _Transformers | None:
    """Takes the signatures that are about transformers from those that stay as they are."""
    specs = tuple(spec for spec in manifest.interface.outputs if spec.meaning in LOOKS)
    if not manifest.samplers or len(specs) != len(LOOKS) * len(manifest.samplers):
        return None
    functions = [signatures.pop(name) for name in LOOKING if name in signatures]

    def look(values: Tensors) -> dict[str, tf.Tensor]:
        said: dict[str, tf.Tensor] = {}
        for function in functions:
            kinds = function.structured_input_signature[1]
            said |= function(**{n: tf.cast(values[n], spec.dtype) for n, spec in kinds.items()})
        return {spec.name: single(said[spec.name]) for spec in specs}

    return _Transformers(manifest.samplers, specs, look)


def _network(
    name: str,
    function: ConcreteFunction,
    found: list[tuple[str | None, tf.TensorSpec]],
    call: Callable[[list[tf.Tensor]], Any],
    declared: Declaration,
    *,
    owner: Any,
    others: Mapping[str, ConcreteFunction] | None = None,
    transformers: _Transformers | None = None,
    notes: tuple[str, ...] = (),
) -> Network:
    specs = named_specs(found, declared)
    facts = GraphFacts(without_xla(function))
    names, order = _output_names(function)
    # The graph's outputs are flat and in order; a dictionary is sorted by its keys.
    tensors = tf.nest.flatten(function.structured_outputs)
    graph_outputs = [tensor.name for tensor in function.graph.outputs]
    places = {
        index: graph_outputs.index(tensor.name) if tensor.name in graph_outputs else index
        for index, tensor in enumerate(tensors)
        if hasattr(tensor, "name")
    }
    own = []
    for index, tensor in enumerate(tensors):
        if tensor.shape.rank is None:
            raise ExportError(
                f"The output `{names[index] or index}` must have a known rank, but it has none. "
                "Set it with tf.ensure_shape."
            )
        fact = facts.activation(places.get(index, index))
        own.append(Own(names[index], tensor.dtype.name, tuple(tensor.shape), fact))
    looks = () if transformers is None else transformers.specs
    head = decide(own, declared)
    inputs, told = describe(specs, declared, facts)

    def flat(values: list[tf.Tensor]) -> list[tf.Tensor]:
        output = call(values)
        return [output[key] for key in order] if order else tf.nest.flatten(output)

    def look(values: Tensors) -> dict[str, tf.Tensor]:
        return {} if transformers is None else transformers.look(values)

    def answer(values: Tensors) -> dict[str, tf.Tensor]:
        said = flat([values[key] for key in specs])
        answers = {n: single(tf.identity(v)) for n, v in zip(head.own, said, strict=True)}
        return answers | head.derive(answers) | look(values)

    def live(feeds: Feeds) -> dict[str, np.ndarray]:
        values = {key: tf.constant(feeds[key]) for key in specs}
        said = dict(zip(head.own, flat(list(values.values())), strict=True)) | look(values)
        return {n: single_array(v) for n, v in said.items()}

    return Network(
        name=name,
        interface=ModelInterface(
            inputs=inputs,
            outputs=(*head.outputs(own), *looks),
            task=head.task,
            class_names=head.class_names,
        ),
        inputs=specs,
        answer=answer,
        live=live,
        head=head,
        samplers=() if transformers is None else transformers.samplers,
        looks=_triples(looks),
        sampled=samplers_of(function),
        owner=owner,
        others=others or {},
        notes=(*notes, *filter(None, (*told, *head.notes))),
    )


def _triples(specs: Sequence[OutputSpec]) -> tuple[tuple[str, str, str], ...]:
    thetas, corners, crops = ([s.name for s in specs if s.meaning == kind] for kind in LOOKS)
    return tuple(zip(thetas, corners, crops, strict=True))


def re_name(name: str) -> str:
    """Returns a name of letters, digits and underscores."""
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in name).strip("_") or "function"


def _concrete(function: Any, declared: Declaration) -> ConcreteFunction:
    if isinstance(function, tf.types.experimental.ConcreteFunction):
        return function
    traced = function._list_all_concrete_functions()
    if declared.input_shape is None and function.input_signature is None:
        if len(traced) == 1:
            return traced[0]
        raise ExportError(
            f"`{getattr(function, '__name__', 'function')}` must have an input_signature, or have "
            f"been traced once, but it was traced {len(traced)} times. Give tf.function an "
            "input_signature of tf.TensorSpec, or `input_shape` for one batch of images."
        )
    shape = declared.input_shape or ()
    specs = [] if function.input_signature else [tf.TensorSpec([None, *shape])]
    try:
        return function.get_concrete_function(*specs)
    except Exception as error:  # It is the user's own code that is traced.
        reason = " ".join(str(error).split())[:300]
        raise ExportError(f"The function cannot be traced: {reason}.") from error


def _given_name(spec: Any) -> str | None:
    return getattr(spec, "name", None)


def _output_names(function: ConcreteFunction) -> tuple[list[str | None], list[str]]:
    """The names of the outputs in flat order, and the keys if they are a dictionary's."""
    structure = function.structured_outputs
    if isinstance(structure, Mapping) and all(
        isinstance(key, str) and not tf.nest.is_nested(value) for key, value in structure.items()
    ):
        keys = sorted(structure)  # As tf.nest flattens them.
        return [*keys], keys
    flat = tf.nest.flatten(structure)
    if not flat or not all(hasattr(value, "dtype") for value in flat):
        raise ExportError(
            "The function must return tensors, but it returns "
            f"{type(structure).__name__}. Return a tensor, a list or a dictionary of tensors."
        )
    return [None] * len(flat), []
