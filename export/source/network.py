"""What every exported file sees of a model: its interface, its graph, its samplers, its truth."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from stn_tf.export.publish.manifest import LOOKS, Sampler
from stn_tf.export.sampler_spec import SamplerSpec
from stn_tf.export.source.heads import Head
from stn_tf.export.tensorflow.functions import ConcreteFunction
from stn_tf.export.tensorflow.xla import without_xla
from stn_tf.interface import Meaning, ModelInterface

Tensors = Mapping[str, tf.Tensor]
Feeds = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A model to be exported: `export.keras_network` and `export.function_network` make them.

    Attributes:
        name: What the model is called.
        interface: What it takes and gives.
        inputs: Shape and type of every input by name.
        answer: What is exported: inputs by name -> every output of the interface, in a graph.
        live: The truth: inputs by name -> the model's own outputs, and what its transformers do,
            as the model itself says, without anything of `answer`.
        head: How the outputs of the task are made of the model's own.
        samplers: Its spatial transformers, in the order they are called, where they are known.
        looks: For each of them the names of its theta, corners and crops.
        sampled: What it samples and how, transformers or not, each once.
        owner: What holds the variables, for saving; None if the signatures' variables are all.
        others: Signatures of a SavedModel beside the default one, which stay as they are.
        ties: Of a batch, which images `nearest` reads halfway between two pixels; None where that
            cannot be told.
        half: The model as it was given, where that computes in half precision: the truth is then
            the same weights under float32.
        notes: What was decided for the user, a line each.
    """

    name: str
    interface: ModelInterface
    inputs: Mapping[str, tf.TensorSpec]
    answer: Callable[[Tensors], dict[str, tf.Tensor]]
    live: Callable[[Feeds], dict[str, np.ndarray]]
    head: Head
    samplers: tuple[Sampler, ...] = ()
    looks: tuple[tuple[str, str, str], ...] = ()
    sampled: tuple[SamplerSpec, ...] = ()
    owner: Any = None
    others: Mapping[str, ConcreteFunction] = dataclasses.field(default_factory=dict)
    ties: Callable[[Feeds], Any] | None = None
    half: Callable[[Feeds], dict[str, np.ndarray]] | None = None
    notes: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of everything that it says."""
        return tuple(spec.name for spec in self.interface.outputs)

    @property
    def default_outputs(self) -> tuple[str, ...]:
        """Those that `serving_default` gives: all but what its transformers do."""
        looks = {name for names in self.looks for name in names}
        return tuple(name for name in self.outputs if name not in looks)

    def looks_named(self, *kinds: Meaning) -> tuple[str, ...]:
        """Returns the names of outputs of these kinds (`theta`), for one transformer after the
        other."""
        return tuple(names[LOOKS.index(kind)] for names in self.looks for kind in kinds)

    def truth(self, feeds: Feeds) -> dict[str, np.ndarray]:
        """Returns every output as it must be: the model's own, and in NumPy what is derived."""
        found = self.live(feeds)
        return found | self.head.truth(found)

    def function(self, outputs: tuple[str, ...]) -> ConcreteFunction:
        """Returns what is exported as a graph: the inputs in order -> these outputs, in order."""

        def answer(*values: tf.Tensor) -> list[tf.Tensor]:
            found = self.answer(dict(zip(self.inputs, values, strict=True)))
            return [found[name] for name in outputs]

        specs = list(self.inputs.values())
        function = tf.function(answer, input_signature=specs, autograph=False)
        return without_xla(function.get_concrete_function())


def look_names(count: int, used: set[str]) -> tuple[tuple[str, str, str], ...]:
    """Returns theta, corners and crops of each transformer: the second's end in `_2`.

    Where the model has outputs of these names, all begin with `transformer_`.
    """

    def names(prefix: str) -> tuple[tuple[str, ...], ...]:
        return tuple(
            tuple(suffixed(f"{prefix}{kind}", index) for kind in LOOKS) for index in range(count)
        )

    prefix = ""
    while used & {name for triple in names(prefix) for name in triple}:
        prefix += "transformer_"
    return names(prefix)  # type: ignore[return-value]


def suffixed(name: str, index: int) -> str:
    """Returns the name of one of several: theta, theta_2, ..."""
    return name if index == 0 else f"{name}_{index + 1}"


def single(value: tf.Tensor) -> tf.Tensor:
    """Returns a tensor with half precision widened to float32, which every runtime has."""
    half = value.dtype.is_floating and value.dtype.size < 4
    return tf.cast(value, tf.float32) if half else value


def single_array(value: Any) -> np.ndarray:
    """Returns a tensor as an array, with half precision widened to float32."""
    array = np.asarray(single(tf.convert_to_tensor(value)))
    return array
