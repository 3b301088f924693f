"""What the live model answers, recorded so that files can be compared with it at any time."""

import contextlib
import dataclasses
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from stn_tf.errors import ExportError, ModelError
from stn_tf.export.proof.examples import Case, Feeds, adversarial_case, made_up_tensors, real_cases
from stn_tf.export.proof.tolerances import tolerance
from stn_tf.export.source.network import Network
from stn_tf.export.tensorflow.sampler_nodes import ConcreteFunction
from stn_tf.interface import ModelInterface

EXPECTATIONS_FILE = "assets.extra/stn_tf_parity.npz"
DEFAULT = "serving_default"

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
        shaky: Outputs that are not one answer an example and change in that way.
        signature: Of the SavedModel; the default one's expectations hold for the ONNX file too.
    """

    case: Case
    answers: dict[str, np.ndarray]
    steady: np.ndarray
    shaky: frozenset[str] = frozenset()
    signature: str = DEFAULT


def expect(network: Network, feeds: Feeds, kind: str = "real images") -> list[Expectation]:
    """Asks the live model about ten examples, in batches of 1, 2 and 7, and about hard ones.

    A model of one batch size is asked in batches of that size.
    """
    interface = network.interface
    cases = [*real_cases(interface, feeds, kind), adversarial_case(interface, feeds)]
    with without_tensor_float_32():
        found = [expect_case(network, case) for case in cases]
        for name, function in network.others.items():
            found += _expect_other(name, function)
    return found


def expect_case(network: Network, case: Case) -> Expectation:
    """Asks the live model about one case."""
    answers = network.truth(case.feeds)
    steady = np.ones(len(case), bool)
    shaky = set()
    if network.ties is not None:
        steady &= ~network.ties(case.feeds)
    untold = network.ties is None and any(spec.kernel == "nearest" for spec in network.sampled)
    if untold or not case.real:
        moved = network.truth(_moved(network.interface, case.feeds))
        for name, expected in answers.items():
            if not np.issubdtype(expected.dtype, np.floating) or not expected.size:
                continue
            allowed = tolerance(network.interface, case, name, expected)
            change = np.abs(moved[name] - expected)
            if expected.shape[:1] == steady.shape:
                steady &= change.reshape(len(steady), -1).max(axis=1) <= allowed / 2
            elif change.max() > allowed / 2:
                shaky.add(name)
    chosen = steady if steady.any() else np.ones_like(steady)
    return Expectation(case, answers, chosen, frozenset(shaky))


def _expect_other(name: str, function: ConcreteFunction) -> list[Expectation]:
    """What a signature says that stays as it is."""
    specs = function.structured_input_signature[1]
    try:
        feeds = made_up_tensors(specs, 3)
        said = function(**{key: tf.constant(value) for key, value in feeds.items()})
    except (ExportError, tf.errors.OpError):
        # Of text, and of inputs that must fit each other, nobody knows examples.
        return []
    case = Case(f"made-up inputs of {name}", feeds)
    answers = {key: value.numpy() for key, value in said.items()}
    return [Expectation(case, answers, np.ones(len(case), bool), signature=name)]


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
            # Text needs pickling, which nobody should have to trust.
            arrays |= {
                f"{index}/{kind}/{name}": value
                for name, value in values.items()
                if value.dtype != object
            }
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
                frozenset(part.get("shaky", ())),
                next(iter(part.get("signature", ())), DEFAULT),
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


def _moved(interface: ModelInterface, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    moved = {}
    for spec in interface.inputs:
        values = feeds[spec.name]
        low, high = spec.limits or (0.0, 1.0)
        noise = rng.uniform(-_ROUNDING, _ROUNDING, values.shape) * (high - low)
        floating = np.issubdtype(values.dtype, np.floating)
        moved[spec.name] = (values + noise).astype(values.dtype) if floating else values
    return moved
