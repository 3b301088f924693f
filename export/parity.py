"""The gate: an exported file that does not compute what the live model does is not kept."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from stn_tf.errors import ParityError
from stn_tf.export.candidates import Answers, candidates, from_bytes
from stn_tf.export.expectations import (
    TOLERANCES,
    Expectation,
    expect_case,
    tolerance,
    without_tensor_float_32,
)
from stn_tf.export.manifest import ParityRow
from stn_tf.export.network import DEFAULT_OUTPUTS, IMAGES, Network
from stn_tf.export.parity_cases import Feeds, real_cases
from stn_tf.export.parity_sampler import compare_sampler, largest_difference
from stn_tf.export.targets import OnnxOptions
from stn_tf.export.warmup import encode_png


def parity(
    network: Network,
    version_dir: Path,
    expectations: Sequence[Expectation],
    options: OnnxOptions | None = None,
) -> list[ParityRow]:
    """Compares the SavedModel and the ONNX file of a version with the live model.

    Args:
        network: The live model.
        version_dir: Where the files are.
        expectations: What the live model says.
        options: How the ONNX file was written.

    Returns:
        A row for every output, case and candidate, passed or not.
    """
    with without_tensor_float_32():
        rows = compare_files(candidates(version_dir), expectations)
        rows += _compare_bytes(network, version_dir, expectations)
        for semantics in network.semantics:
            rows += compare_sampler(semantics, options or OnnxOptions())
    return rows


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
    files: Mapping[str, Answers], expectations: Sequence[Expectation]
) -> list[ParityRow]:
    """Returns a row for every output of every case and file."""
    rows: list[ParityRow] = []
    for expectation in expectations:
        for name, answers in files.items():
            rows += _compare(name, expectation, answers(expectation.case.feeds))
    return rows


def _compare_bytes(
    network: Network, version_dir: Path, expectations: Sequence[Expectation]
) -> Iterator[ParityRow]:
    answers = from_bytes(version_dir)
    if answers is None or network.image_shape is None:
        return
    real = [e.case.feeds[IMAGES] for e in expectations if e.case.real]
    # PNG holds 8 bits: what the server decodes is compared with the same rounded images.
    rounded: Feeds = {IMAGES: (np.rint(np.concatenate(real) * 255.0) / 255.0).astype(np.float32)}
    for case in real_cases(rounded, expectations[0].case.name.rpartition(",")[0]):
        said = expect_case(network, case)
        wanted = {name: said.answers[name] for name in network.default_outputs}
        expectation = Expectation(case, wanted, said.steady)
        encoded = encode_png(case.feeds[IMAGES])
        yield from _compare("saved_model/serving_bytes", expectation, answers(encoded))


def _compare(
    candidate: str, expectation: Expectation, answer: Mapping[str, np.ndarray]
) -> Iterator[ParityRow]:
    case, answers, steady = expectation.case, expectation.answers, expectation.steady
    for name, expected in answers.items():
        # The first theta is regressed before anything is sampled.
        chosen = np.ones_like(steady) if name in ("theta", "corners") else steady
        if name == "class" and set(DEFAULT_OUTPUTS) <= set(answers):
            top = np.sort(answers["logits"], axis=-1)[:, -2:]
            decided = top[:, -1] - top[:, 0] > 2 * TOLERANCES["logits"]
            # One class has no second.
            chosen = chosen & (decided | (answers["logits"].shape[-1] == 1))
        value = answer[name]
        same = value.shape == expected.shape
        difference = largest_difference(value[chosen], expected[chosen]) if same else float("inf")
        yield ParityRow(
            output=name,
            case=case.name,
            candidate=candidate,
            largest_difference=difference,
            tolerance=tolerance(case, name, expected[chosen]),
            images=int(chosen.sum()),
        )
