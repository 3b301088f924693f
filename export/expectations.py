"""What the live model answers, recorded so that files can be compared with it at any time."""

import contextlib
import dataclasses
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from stn_tf.errors import ModelError
from stn_tf.export.network import Network
from stn_tf.export.parity_cases import Case, Feeds, adversarial_case, real_cases

EXPECTATIONS_FILE = "assets.extra/stn_tf_parity.npz"

# Largest differences. A class may differ only where two logits are as good as equal.
TOLERANCES = {"logits": 1e-4, "probabilities": 1e-4, "theta": 1e-5}
# Two runtimes round differently by about this much, relative to values of 1.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Expectation:
    """What the live model says about a case.

    Attributes:
        steady: Which of the `N` examples have an answer that does not hang on the rounding of a
            number: not those in which `nearest` reads halfway between pixels, nor adversarial ones
            (as where a projective map divides by nearly zero) whose answer changes as soon as the
            image changes by float rounding. If none is steady, all are compared.
    """

    case: Case
    answers: dict[str, np.ndarray]
    steady: np.ndarray


def expect(network: Network, feeds: Feeds, kind: str = "real images") -> list[Expectation]:
    """Asks the live model about ten examples, in batches of 1, 2 and 7, and about hard ones."""
    cases = [*real_cases(feeds, kind), adversarial_case(feeds)]
    with without_tensor_float_32():
        return [expect_case(network, case) for case in cases]


def expect_case(network: Network, case: Case) -> Expectation:
    """Asks the live model about one case."""
    answers = _ask(network, case.feeds)
    steady = np.ones(len(case), bool)
    if network.ties is not None:
        steady &= ~network.ties({name: tf.constant(value) for name, value in case.feeds.items()})
    untold = network.ties is None and any(s.kernel == "nearest" for s in network.semantics)
    if untold or not case.real:
        moved = _ask(network, _moved(case.feeds))
        for name, expected in answers.items():
            if np.issubdtype(expected.dtype, np.floating) and len(expected) == len(steady):
                change = np.abs(moved[name] - expected).reshape(len(steady), -1).max(axis=1)
                steady &= change <= tolerance(case, name, expected) / 2
    return Expectation(case, answers, steady if steady.any() else np.ones_like(steady))


def tolerance(case: Case, output: str, expected: np.ndarray) -> float:
    """Returns the largest difference that an output may have."""
    if not np.issubdtype(expected.dtype, np.floating):
        return 0.0
    kind = re.sub(r"_\d+$", "", output)
    largest = float(np.max(np.abs(expected), initial=0.0))
    size = max(max(values.shape[1:], default=1) for values in case.feeds.values())
    if kind == "corners":
        # What theta's tolerance moves a pixel by, at the edge of the image and beyond.
        return TOLERANCES["theta"] * max(size, largest)
    if case.real and kind == "logits":
        return TOLERANCES["logits"]
    # Large numbers are rounded by more, and crops also differ by what theta's tolerance moves.
    base = TOLERANCES.get(kind, max(1e-4, TOLERANCES["theta"] * size))
    return base * max(1.0, largest)


def write_expectations(path: Path, expectations: Sequence[Expectation]) -> None:
    """Writes what `read_expectations` reads."""
    arrays: dict[str, np.ndarray] = {}
    for index, expectation in enumerate(expectations):
        arrays[f"{index}/case/{expectation.case.name}"] = np.array(expectation.case.real)
        arrays[f"{index}/steady"] = expectation.steady
        for name, values in expectation.case.feeds.items():
            arrays[f"{index}/feed/{name}"] = values
        for name, values in expectation.answers.items():
            arrays[f"{index}/answer/{name}"] = values
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, allow_pickle=False, **arrays)


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
                found.setdefault(index, {}).setdefault(kind, {})[name] = arrays[key]
        return [
            Expectation(
                Case(
                    next(iter(part["case"])), part["feed"], bool(next(iter(part["case"].values())))
                ),
                part["answer"],
                part["steady"][""],
            )
            for part in found.values()
        ]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"`{path}` cannot be read: {error}. Write the version directory with `stn-tf export`."
        ) from None


@contextlib.contextmanager
def without_tensor_float_32() -> Iterator[None]:
    """Lets a GPU compute in full float32: TensorFloat-32 keeps 10 bits, too few to compare."""
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(enabled)


def _ask(network: Network, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = network.answer({name: tf.constant(value) for name, value in feeds.items()})
    return {name: value.numpy() for name, value in found.items()}


def _moved(feeds: Feeds) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    moved = {}
    for name, values in feeds.items():
        noise = rng.uniform(-_ROUNDING, _ROUNDING, values.shape)
        floating = np.issubdtype(values.dtype, np.floating)
        moved[name] = (values + noise).astype(values.dtype) if floating else values
    return moved
