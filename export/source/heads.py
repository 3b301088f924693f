"""What a model's own outputs are called, and how others are derived from them for its task.

A model's own outputs leave as they are; `probabilities` and `class` are added beside them.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from stn_tf.interface import THRESHOLD, Meaning, OutputSpec, Task

LOGITS, PROBABILITIES, CLASS = "logits", "probabilities", "class"
# log(0) would be minus infinity, which softmax cannot undo in float32.
_LEAST = 1e-37


@dataclasses.dataclass(frozen=True)
class Own:
    """One output of the model itself.

    Attributes:
        name: What the user called it; None for an automatic name.
        computed: The type in which the model computes it, NumPy's name.
        shape: Batch first, None for what is free.
        activation: `softmax` or `sigmoid` where the graph ends in one.
    """

    name: str | None
    computed: str
    shape: tuple[int | None, ...]
    activation: str | None = None

    @property
    def floating(self) -> bool:
        return "float" in self.computed

    @property
    def half(self) -> str | None:
        """The type, if it is half precision."""
        return self.computed if self.computed in ("float16", "bfloat16") else None

    @property
    def dtype(self) -> str:
        """The type in which it leaves."""
        return "float32" if self.half else self.computed


@dataclasses.dataclass(frozen=True)
class Head:
    """How the outputs of a task are made of the model's own.

    Attributes:
        task: The task.
        class_names: The names of its classes.
        own: The names of the model's own outputs, in its order.
        source: Which of them holds the classes; None without classes.
        activated: Whether that one holds probabilities already.
        logits, probabilities, classes: What derived outputs are called; None for those that are
            not made.
        notes: What was decided for the user, a line each.
        meanings: What some of the model's own outputs are said to be.
    """

    task: Task
    class_names: tuple[str, ...]
    own: tuple[str, ...]
    source: str | None = None
    activated: bool = False
    logits: str | None = None
    probabilities: str | None = None
    classes: str | None = None
    notes: tuple[str, ...] = ()
    meanings: Mapping[str, Meaning] = dataclasses.field(default_factory=dict)

    def outputs(self, own: Sequence[Own]) -> tuple[OutputSpec, ...]:
        """Returns the specifications of the model's own outputs and of those derived."""
        meanings: dict[str, Meaning] = dict(self.meanings)
        if self.source == LOGITS and not self.activated:
            meanings[LOGITS] = "logits"
        if self.source == PROBABILITIES and self.activated and self.task != "binary":
            meanings[PROBABILITIES] = "probabilities"
        found = [
            OutputSpec.model_validate(
                {"name": name, "dtype": o.dtype, "shape": o.shape, "half": o.half}
                | {"meaning": meanings.get(name, "raw")}
            )
            for name, o in zip(self.own, own, strict=True)
        ]
        count = len(self.class_names)
        batch = next(
            (o.shape[:1] for n, o in zip(self.own, own, strict=True) if n == self.source), ()
        )
        if self.logits:
            found.append(_derived(self.logits, "float32", (*batch, count), "logits"))
        if self.probabilities:
            found.append(_derived(self.probabilities, "float32", (*batch, count), "probabilities"))
        if self.classes:
            found.append(_derived(self.classes, "int64", batch, "class"))
        return tuple(found)

    def derive(self, own: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns what is derived, in a graph."""
        if self.source is None:
            return {}
        values = tf.cast(own[self.source], tf.float32)
        if self.task == "binary":
            positive = tf.reshape(values, [-1])
            positive = positive if self.activated else tf.sigmoid(positive)
            probabilities = tf.stack([1.0 - positive, positive], axis=-1)
            classes = tf.cast(positive >= THRESHOLD, tf.int64)
        elif self.activated:
            probabilities = values
            classes = tf.argmax(values, axis=-1, output_type=tf.int64)
        else:
            probabilities = (
                tf.sigmoid(values) if self.task == "multilabel" else tf.nn.softmax(values)
            )
            # Of the logits: two probabilities may round to the same number.
            classes = tf.argmax(values, axis=-1, output_type=tf.int64)
        found = {}
        if self.logits:
            found[self.logits] = tf.math.log(tf.maximum(probabilities, _LEAST))
        if self.probabilities:
            found[self.probabilities] = probabilities
        if self.classes:
            found[self.classes] = classes
        return found

    def truth(self, own: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns what must be derived, in NumPy's float64, for the proof."""
        if self.source is None:
            return {}
        values = np.asarray(own[self.source], np.float64)
        if self.task == "binary":
            positive = values.reshape(-1)
            positive = positive if self.activated else _sigmoid(positive)
            probabilities = np.stack([1.0 - positive, positive], axis=-1)
            classes = (positive >= THRESHOLD).astype(np.int64)
        else:
            if self.activated:
                probabilities = values
            elif self.task == "multilabel":
                probabilities = _sigmoid(values)
            else:
                powers = np.exp(values - values.max(axis=-1, keepdims=True))
                probabilities = powers / powers.sum(axis=-1, keepdims=True)
            classes = values.argmax(axis=-1)
        found = {}
        if self.logits:
            found[self.logits] = np.log(np.maximum(probabilities, _LEAST)).astype(np.float32)
        if self.probabilities:
            found[self.probabilities] = probabilities.astype(np.float32)
        if self.classes:
            found[self.classes] = classes.astype(np.int64)
        return found

    def undecided(self, own: Mapping[str, np.ndarray], margin: float) -> np.ndarray | None:
        """Returns which examples have a class that rounding may change; None without classes."""
        if self.source is None or self.classes is None:
            return None
        values = np.asarray(own[self.source], np.float64)
        if self.task == "binary":
            distance = np.abs(values.reshape(-1) - (THRESHOLD if self.activated else 0.0))
            return np.asarray(distance <= margin)
        top = np.sort(values, axis=-1)[:, -2:]
        scale = np.maximum(1.0, np.abs(values).max(axis=-1, initial=0.0))
        return np.asarray(top[:, -1] - top[:, 0] <= margin * scale)


def _derived(name: str, dtype: str, shape: tuple[int | None, ...], meaning: Meaning) -> OutputSpec:
    return OutputSpec(name=name, dtype=dtype, shape=shape, meaning=meaning, derived=True)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-values)))
