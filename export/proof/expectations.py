"""What the live model answered, on record, so that files can be compared with it at any time.

This module does not import TensorFlow.
"""

import dataclasses
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stn_tf.errors import ModelError
from stn_tf.export.publish.manifest import DEFAULT

Feeds = Mapping[str, np.ndarray]

EXPECTATIONS_FILE = "assets.extra/stn_tf_parity.npz"


@dataclasses.dataclass(frozen=True)
class Case:
    """A named batch of inputs.

    Attributes:
        real: Whether it is what the model was trained for, or like it.
    """

    name: str
    feeds: Feeds
    real: bool = False

    def __len__(self) -> int:
        return len(next((v for v in self.feeds.values() if v.ndim), np.zeros(1)))


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What the live model says about a case.

    Attributes:
        steady: Which of the `N` examples have an answer that does not hang on the rounding of a
            number: not those in which `nearest` reads halfway between pixels, nor adversarial ones
            (as where a projective map divides by nearly zero) whose answer changes as soon as the
            image changes by float rounding. If none is steady, all are compared.
        shaky: Outputs that are not one answer an example and change in that way.
        signature: Of the SavedModel; the default one's expectations hold for the ONNX file too.
    """

    case: Case
    answers: dict[str, np.ndarray]
    steady: np.ndarray
    shaky: frozenset[str] = frozenset()
    signature: str = DEFAULT


def write_expectations(path: Path, expectations: Sequence[Expectation]) -> None:
    """Writes what `read_expectations` reads."""
    arrays: dict[str, np.ndarray] = {}
    for index, expectation in enumerate(expectations):
        arrays[f"{index}/case/{expectation.case.name}"] = np.array(expectation.case.real)
        arrays[f"{index}/signature/{expectation.signature}"] = np.array(True)
        arrays[f"{index}/steady"] = expectation.steady
        for name in expectation.shaky:
            arrays[f"{index}/shaky/{name}"] = np.array(True)
        for kind, values in (
            ("feed", expectation.case.feeds),
            ("answer", expectation.answers),
        ):
            arrays |= {f"{index}/{kind}/{name}": _plain(v) for name, v in values.items()}
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def as_bytes(values: np.ndarray) -> np.ndarray:
    """Returns text, which runtimes give as `str` or as bytes, as an array of bytes objects."""
    encoded = [v.encode() if isinstance(v, str) else bytes(v) for v in values.ravel().tolist()]
    return np.array(encoded, object).reshape(values.shape)


def _plain(values: np.ndarray) -> np.ndarray:
    """Text without objects, which need pickling: nobody should have to trust that."""
    return as_bytes(values).astype(np.bytes_) if values.dtype.kind in "OU" else values


def read_expectations(path: Path) -> list[Expectation]:
    """Reads the expectations of an exported version.

    Raises:
        ModelError: If there are none, or they are damaged.
    """
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            for key in arrays.files:
                index, kind, name = (*key.split("/", 2), "")[:3]
                values = arrays[key]
                if values.dtype.kind == "S":
                    values = values.astype(object)
                found.setdefault(index, {}).setdefault(kind, {})[name] = values
        return [
            Expectation(
                Case(
                    next(iter(part["case"])), part["feed"], bool(next(iter(part["case"].values())))
                ),
                part["answer"],
                part["steady"][""],
                frozenset(part.get("shaky", ())),
                next(iter(part.get("signature", ())), DEFAULT),
            )
            for part in found.values()
        ]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"`{path}` cannot be read: {error}. Write the version directory with `stn-tf export`."
        ) from None
