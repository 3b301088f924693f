"""How far what files say is from what the live model said, and whether that is too far.

This module does not import TensorFlow.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stn_tf.errors import ParityError
from stn_tf.export.proof.expectations import Case, Expectation, as_bytes
from stn_tf.export.proof.tolerances import OWN, tolerance
from stn_tf.export.publish.manifest import DEFAULT, LOOKS, ParityRow, Sampler
from stn_tf.interface import ModelInterface

if TYPE_CHECKING:
    from stn_tf.export.source.heads import Head

# How what reads the ONNX file is called.
_READ_ONNX = ("onnx", "openvino")
# Inputs by name -> outputs by name.
Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]
# The same, and the signature where a file has several; None for a signature that it lacks.
Answers = Callable[[Mapping[str, np.ndarray], str], dict[str, np.ndarray] | None]


def default_alone(run: Run) -> Answers:
    """Returns what a file says that has the default signature alone."""

    def answer(feeds: Mapping[str, np.ndarray], signature: str) -> dict[str, np.ndarray] | None:
        return run(feeds) if signature == DEFAULT else None

    return answer


@dataclasses.dataclass(frozen=True)
class Judge:
    """What decides how far a file may be off.

    Attributes:
        interface: What the model takes and gives.
        precision: Of `model.onnx`.
        tolerance: What the user allows the model's own outputs, relative; None for the usual.
        samplers: The model's transformers.
        head: How classes are made; None where the record has answers alone.
    """

    interface: ModelInterface
    precision: str = "float32"
    tolerance: float | None = None
    samplers: tuple[Sampler, ...] = ()
    head: "Head | None" = None


def require(rows: Sequence[ParityRow], consequence: str = "Nothing was written.") -> None:
    """Raises ParityError, naming the worst output, unless every row passed."""
    failed = [row for row in rows if not row.passed]
    if not failed:
        return

    def excess(row: ParityRow) -> float:
        ratio = row.largest_difference / max(row.tolerance, 1e-30)
        return float("inf") if np.isnan(ratio) else ratio

    worst = max(failed, key=excess)
    raise ParityError(
        f"`{worst.output}` of {worst.candidate} differs from the live model by "
        f"{worst.largest_difference:.3g} on {worst.case}, and at most {worst.tolerance:.3g} is "
        f"allowed ({len(failed)} of {len(rows)} comparisons failed). {consequence}"
    )


def compare_files(
    files: Mapping[str, Answers], expectations: Sequence[Expectation], judge: Judge
) -> list[ParityRow]:
    """Returns a row for every output of every case and file."""
    rows: list[ParityRow] = []
    for expectation in expectations:
        for name, answers in files.items():
            said = answers(expectation.case.feeds, expectation.signature)
            if said is not None:
                # The other files are float32 whatever the ONNX file is.
                kept = judge if name.startswith(_READ_ONNX) else in_float32(judge)
                rows += compare(name, expectation, said, kept)
    return rows


def in_float32(judge: Judge) -> Judge:
    own = judge.tolerance if judge.precision == "float32" else None
    return dataclasses.replace(judge, precision="float32", tolerance=own)


def compare(
    candidate: str, expectation: Expectation, answer: Mapping[str, np.ndarray], judge: Judge
) -> Iterator[ParityRow]:
    case, answers, steady = expectation.case, expectation.answers, expectation.steady
    interface = judge.interface
    first = {*interface.named("theta")[:1], *interface.named("corners")[:1]}
    reduced = judge.precision != "float32"
    for name, expected in answers.items():
        if name in expectation.shaky:
            continue
        if reduced and not _compared(interface, name, expected, case):
            continue
        # The first theta is regressed before anything is sampled.
        chosen = np.ones_like(steady) if name in first else steady
        if name in interface.named("class"):
            chosen = chosen & ~_undecided(judge, answers, chosen)
        value = answer.get(name)
        if value is None:
            raise ParityError(f"`{name}` is missing in {candidate}. Nothing was written.")
        each = expected.shape[:1] == steady.shape
        part = expected[chosen] if each else expected
        if value.shape != expected.shape:
            difference = float("inf")
        elif part.dtype.kind in "fiub":
            difference = largest_difference(value[chosen] if each else value, part)
        else:  # Text.
            said = value[chosen] if each else value
            same = np.array_equal(as_bytes(said), as_bytes(part))
            difference = 0.0 if same else float("inf")
        allowed = tolerance(
            interface,
            case,
            name,
            part,
            precision=judge.precision,
            own=judge.tolerance,
            sampler=_sampler_of(judge, name),
        )
        yield ParityRow(
            output=name,
            case=case.name,
            candidate=candidate,
            largest_difference=difference,
            tolerance=allowed,
            images=int(chosen.sum()),
        )


def _compared(interface: ModelInterface, name: str, expected: np.ndarray, case: Case) -> bool:
    """Under less precision classes are counted, and adversarial images ask of the points alone."""
    spec = interface.output(name)
    look = spec is not None and spec.meaning in ("theta", "corners")
    return np.issubdtype(expected.dtype, np.floating) and (case.real or look)


def _undecided(judge: Judge, answers: Mapping[str, np.ndarray], like: np.ndarray) -> np.ndarray:
    """The examples whose class rounding may change."""
    none = np.zeros_like(like)
    margin = 2.0 * (judge.tolerance or OWN["float32"])
    if judge.head is not None and judge.head.source in answers:
        found = judge.head.undecided(answers, margin)
    else:  # A record that is read again: of the classes, by their scores.
        names = (*judge.interface.named("logits"), *judge.interface.named("probabilities"))
        scores = next((answers[name] for name in names if name in answers), None)
        if scores is None or scores.shape[-1] < 2:
            return none
        top = np.sort(scores, axis=-1)[:, -2:]
        scale = np.maximum(1.0, np.abs(scores).max(axis=-1))
        found = top[:, -1] - top[:, 0] <= margin * scale
    return none if found is None else np.asarray(found)


def _sampler_of(judge: Judge, name: str) -> Sampler | None:
    for kind in LOOKS:
        names = judge.interface.named(kind)
        if name in names and names.index(name) < len(judge.samplers):
            return judge.samplers[names.index(name)]
    return None


def largest_difference(value: np.ndarray, expected: np.ndarray) -> float:
    """NaN if either has one: a model that answers NaN has not been shown to be right."""
    if value.shape != expected.shape:
        return float("inf")
    if value.size == 0:
        return 0.0
    return float(np.max(np.abs(value.astype(np.float64) - expected.astype(np.float64))))
