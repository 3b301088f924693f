"""What the outputs of a model mean: classes, numbers of its own, and where it looks."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stn_tf.export.publish.manifest import Manifest, Sampler
from stn_tf.interface import InputSpec, ModelInterface

CLASSIFIES = ("classification", "binary")


@dataclass(frozen=True)
class Transformer:
    """One spatial transformer of a model, and the outputs that show what it does.

    Attributes:
        sampler: Its semantics.
        theta, corners, crops: Names of outputs; empty for one that the model does not give.
    """

    sampler: Sampler
    theta: str
    corners: str
    crops: str


def transformers(manifest: Manifest) -> list[Transformer]:
    """Returns the transformers of a model, in its order."""
    named = {kind: manifest.interface.named(kind) for kind in ("theta", "corners", "crops")}
    found = []
    for index, sampler in enumerate(manifest.samplers):
        names = {k: v[index] if index < len(v) else "" for k, v in named.items()}
        found.append(Transformer(sampler, **names))
    return found


def chosen(interface: ModelInterface, outputs: Mapping[str, np.ndarray]) -> list[list[int]] | None:
    """Returns the classes of each image, highest first; None where the outputs do not tell.

    One each where the task is `classification` or `binary`, any number where it is `multilabel`.
    """
    classes, probabilities = (_present(interface, k, outputs) for k in ("class", "probabilities"))
    if interface.task == "multilabel":
        return interface.chosen(outputs) if probabilities is not None else None
    if interface.task not in CLASSIFIES:
        return None
    if classes is not None:
        return interface.chosen(outputs)
    if probabilities is None:
        return None
    return [[int(index)] for index in np.argmax(outputs[probabilities], axis=-1)]


def probabilities(
    interface: ModelInterface, outputs: Mapping[str, np.ndarray]
) -> np.ndarray | None:
    """Returns the probabilities of the classes, `[N, K]`, where the model gives them."""
    name = _present(interface, "probabilities", outputs)
    return None if name is None else np.asarray(outputs[name])


def class_name(interface: ModelInterface, index: int) -> str:
    """Returns what people call a class: its name, or its number where it has none."""
    names = interface.class_names
    return names[index] if 0 <= index < len(names) else str(index)


def plain(values: np.ndarray) -> np.ndarray:
    """Returns numbers of types that few know, float16 and bfloat16, as float32."""
    return values.astype(np.float32) if values.dtype.name in ("float16", "bfloat16") else values


def channels_last(spec: InputSpec) -> InputSpec:
    """Returns what describes crops of an image: they have their channels last."""
    shape = (None, None, None, spec.channels)
    return spec.model_copy(update={"layout": "NHWC", "shape": shape})


def _present(
    interface: ModelInterface, meaning: str, outputs: Mapping[str, np.ndarray]
) -> str | None:
    (name, *_) = (*interface.named(meaning), None)  # type: ignore[arg-type]
    return name if name in outputs else None
