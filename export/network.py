"""What every exported file sees of a model: named inputs, named outputs, samplers."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from stn_tf.export.manifest import Sampler
from stn_tf.export.sampler_nodes import ConcreteFunction, Semantics

DEFAULT_OUTPUTS = ("logits", "probabilities", "class")
IMAGES = "images"

Tensors = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A model to be exported: `export.keras_network` and `export.saved_network` make them.

    Attributes:
        name: What the model is called.
        inputs: Shape and type of every input by name, the first dimension being the free batch.
        answer: The live model: inputs by name -> everything it says.
        outputs: The names of what `answer` gives.
        default_outputs: Those of them that `serving_default` gives.
        classifies: Whether the outputs are `logits`, `probabilities` and `class`.
        samplers: Its spatial transformers, in the order they are called, where they are known.
        semantics: The different semantics with which it samples, transformers or not.
        owner: What holds the variables, for saving; None if the signatures' variables are all.
        others: Signatures of a SavedModel beside the default one, which stay as they are.
        ties: Of a batch, which images `nearest` reads halfway between two pixels; None where that
            cannot be told.
    """

    name: str
    inputs: Mapping[str, tf.TensorSpec]
    answer: Callable[[Tensors], dict[str, tf.Tensor]]
    outputs: tuple[str, ...]
    default_outputs: tuple[str, ...]
    classifies: bool
    samplers: tuple[Sampler, ...]
    semantics: tuple[Semantics, ...]
    owner: Any = None
    others: Mapping[str, ConcreteFunction] = dataclasses.field(default_factory=dict)
    ties: Callable[[Tensors], Any] | None = None

    def names(self, *kinds: str) -> tuple[str, ...]:
        """Returns the names of outputs of these kinds (`theta`), one for each transformer."""
        return tuple(suffixed(kind, i) for i in range(len(self.samplers)) for kind in kinds)

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """Height, width and channels, where one batch of images is all that the model takes."""
        if tuple(self.inputs) != (IMAGES,) or not self.classifies:
            return None
        shape = tuple(self.inputs[IMAGES].shape[1:])
        return shape if len(shape) == 3 else None

    def function(self, outputs: tuple[str, ...]) -> ConcreteFunction:
        """Returns the live model as a graph: the inputs in order -> these outputs, in order."""

        def answer(*values: tf.Tensor) -> list[tf.Tensor]:
            found = self.answer(dict(zip(self.inputs, values, strict=True)))
            return [found[name] for name in outputs]

        specs = list(self.inputs.values())
        return tf.function(answer, input_signature=specs, autograph=False).get_concrete_function()


def suffixed(kind: str, index: int) -> str:
    """Returns the name of an output of the transformer with that index: theta, theta_2, ..."""
    return kind if index == 0 else f"{kind}_{index + 1}"
