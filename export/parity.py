"""The gate: an exported file that does not compute what the live model does is not kept."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from stn_tf.errors import ParityError
from stn_tf.export.manifest import ParityRow
from stn_tf.export.network import DEFAULT_OUTPUTS, Network
from stn_tf.export.onnx_file import ONNX_FILE, convert
from stn_tf.export.onnx_runtimes import onnx_runtime, reference_evaluator
from stn_tf.export.parity_cases import (
    Case,
    adversarial_case,
    real_cases,
    sampler_cases,
    sampler_images,
)
from stn_tf.export.sampler_nodes import Semantics
from stn_tf.export.warmup import encode_png
from stn_tf.layers import record_transformations
from stn_tf.sampling import grid_sample, native_sampler

# Largest differences. A class may differ only where two logits are as good as equal.
_TOLERANCES = {"logits": 1e-4, "probabilities": 1e-4, "class": 0.0, "theta": 1e-5}
_SAMPLER_TOLERANCE = 1e-5
# Two runtimes round differently by about this much, relative to values of 1.
_ROUNDING = 1e-6
# Nearer than this to halfway between two pixels, in pixels, `nearest` may take either.
_TIE = 1e-3

_Answers = Callable[[np.ndarray], dict[str, np.ndarray]]


def parity(
    network: Network, version_dir: Path, images: np.ndarray, kind: str = "real"
) -> list[ParityRow]:
    """Compares the SavedModel and the ONNX file of a version with the live model.

    Args:
        network: The live model.
        version_dir: Where the files are.
        images: `[10, H, W, C]` float32 in 0..1, for batches of 1, 2 and 7.
        kind: What the images are: `real` or `made-up`.

    Returns:
        A row for every output, case and candidate, passed or not.
    """
    with _without_tensor_float_32():
        return _parity(network, version_dir, images, kind)


def _parity(network: Network, version_dir: Path, images: np.ndarray, kind: str) -> list[ParityRow]:
    rows: list[ParityRow] = []
    live = _live(network)
    candidates, from_bytes = _candidates(network, version_dir)
    for case in [*real_cases(images, kind), adversarial_case(images)]:
        reference = live(case.images)
        steady = _steady(network, live, case, reference)
        for name, answers in candidates.items():
            rows += _compare(network, name, case, reference, answers(case.images), steady)
    rounded = (np.rint(images * 255.0) / 255.0).astype(np.float32)
    if from_bytes is not None:
        # PNG holds 8 bits: what the server decodes is compared with the same rounded images.
        for case in real_cases(rounded, kind):
            reference = {name: live(case.images)[name] for name in DEFAULT_OUTPUTS}
            steady = _steady(network, live, case, reference)
            answer = from_bytes(case.images)
            rows += _compare(network, "saved_model/serving_bytes", case, reference, answer, steady)
    for semantics in network.semantics:
        rows += _compare_sampler(semantics)
    return rows


def require(rows: Sequence[ParityRow]) -> None:
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
        f"allowed ({len(failed)} of {len(rows)} comparisons failed). Nothing was written."
    )


@contextlib.contextmanager
def _without_tensor_float_32() -> Iterator[None]:
    """Lets a GPU compute in full float32: TensorFloat-32 keeps 10 bits, too few to compare."""
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(enabled)


def _live(network: Network) -> _Answers:
    def answers(images: np.ndarray) -> dict[str, np.ndarray]:
        return {k: v.numpy() for k, v in network.outputs(tf.constant(images)).items()}

    return answers


def _candidates(network: Network, version_dir: Path) -> tuple[dict[str, _Answers], _Answers | None]:
    loaded = tf.saved_model.load(str(version_dir))
    signatures = dict(loaded.signatures)
    bytes_signature = signatures.pop("serving_bytes", None)
    serialized = (version_dir / ONNX_FILE).read_bytes()
    in_onnx_runtime = onnx_runtime(serialized)
    in_reference = reference_evaluator(serialized)

    def saved_model(images: np.ndarray) -> dict[str, np.ndarray]:
        # `loaded` owns the variables of the signatures.
        assert loaded.signatures
        outputs: dict[str, np.ndarray] = {}
        for signature in signatures.values():
            for name, value in signature(images=tf.constant(images)).items():
                outputs[name] = value.numpy()
        return outputs

    def from_bytes(images: np.ndarray) -> dict[str, np.ndarray]:
        assert bytes_signature is not None
        values = bytes_signature(image_bytes=tf.constant(encode_png(images)))
        return {name: value.numpy() for name, value in values.items()}

    return {
        "saved_model": saved_model,
        "onnx_runtime": lambda images: in_onnx_runtime({"images": images}),
        "onnx_reference": lambda images: in_reference({"images": images}),
    }, (None if bytes_signature is None else from_bytes)


def _compare(
    network: Network,
    candidate: str,
    case: Case,
    reference: Mapping[str, np.ndarray],
    answer: Mapping[str, np.ndarray],
    steady: np.ndarray,
) -> Iterator[ParityRow]:
    for name, expected in reference.items():
        value = answer[name]
        # The first theta is regressed before anything is sampled.
        chosen = np.ones_like(steady) if name in ("theta", "corners") else steady
        if name == "class":
            top = np.sort(reference["logits"], axis=-1)[:, -2:]
            decided = top[:, -1] - top[:, 0] > 2 * _TOLERANCES["logits"]
            # One class has no second.
            chosen = chosen & (decided | (reference["logits"].shape[-1] == 1))
        if value.shape != expected.shape:
            difference = float("inf")
        else:
            difference = _largest(value[chosen], expected[chosen])
        yield ParityRow(
            output=name,
            case=case.name,
            candidate=candidate,
            largest_difference=difference,
            tolerance=_tolerance(network, name, expected[chosen], case.real),
            images=int(chosen.sum()),
        )


def _compare_sampler(semantics: Semantics) -> Iterator[ParityRow]:
    """The sampler alone, where a grid can be anything."""
    options = semantics._asdict()
    images = sampler_images()

    def sample(images: tf.Tensor, grid: tf.Tensor) -> list[tf.Tensor]:
        with native_sampler(False):
            return [grid_sample(images, grid, **options)]

    specs = [tf.TensorSpec([None, *images.shape[1:]]), tf.TensorSpec([None, None, None, 2])]
    function = tf.function(sample, input_signature=specs, autograph=False)
    model = convert(function.get_concrete_function(), ["images", "grid"], ["crops"])
    serialized = model.SerializeToString()
    runtimes = {
        "onnx_runtime": onnx_runtime(serialized),
        "onnx_reference": reference_evaluator(serialized),
    }
    name = f"{semantics.kernel}, {semantics.padding}, align_corners={semantics.align_corners}"
    for case, grid in sampler_cases(**options).items():
        expected = grid_sample(images, grid, **options).numpy()
        for candidate, run in runtimes.items():
            yield ParityRow(
                output="grid_sample",
                case=f"{case} ({name})",
                candidate=candidate,
                largest_difference=_largest(
                    run({"images": images, "grid": grid})["crops"], expected
                ),
                tolerance=_SAMPLER_TOLERANCE,
                images=1,
            )


def _tolerance(network: Network, output: str, expected: np.ndarray, real: bool) -> float:
    kind = re.sub(r"_\d+$", "", output)
    if kind == "class":
        return 0.0
    largest = float(np.max(np.abs(expected), initial=0.0))
    size = max(network.input_shape[:2])
    if kind == "corners":
        # What theta's tolerance moves a pixel by, at the edge of the image and beyond.
        return _TOLERANCES["theta"] * max(size, largest)
    if real and kind == "logits":
        return _TOLERANCES["logits"]
    # Large numbers are rounded by more, and crops also differ by what theta's tolerance moves.
    base = _TOLERANCES.get(kind, max(1e-4, _TOLERANCES["theta"] * size))
    return base * max(1.0, largest)


def _steady(
    network: Network, live: _Answers, case: Case, reference: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Which images `[N]` have an answer that does not hang on the rounding of a number.

    Not steady are images in which `nearest` reads halfway between pixels, and adversarial ones
    (as where a projective map divides by nearly zero) whose live answer changes as soon as the
    image changes by float rounding. If none is steady, all are compared.
    """
    steady = np.ones(len(case.images), bool)
    if any(sampler.kernel == "nearest" for sampler in network.samplers):
        steady &= ~_ties(network, case.images)
    if not case.real:
        rng = np.random.default_rng(2)
        noise = rng.uniform(-_ROUNDING, _ROUNDING, case.images.shape).astype(np.float32)
        moved = live(case.images + noise)
        for name, expected in reference.items():
            if name == "class":
                continue
            change = np.abs(moved[name] - expected).reshape(len(steady), -1).max(axis=1)
            steady &= change <= _tolerance(network, name, expected, case.real) / 2
    return steady if steady.any() else np.ones_like(steady)


def _ties(network: Network, images: np.ndarray) -> np.ndarray:
    tied = np.zeros(len(images), bool)
    with record_transformations() as records:
        network.model(tf.constant(images), training=False)
    for record in records:
        if record.layer.kernel == "nearest":
            grid = record.grid.numpy()
            size = np.array(record.images.shape[1:-1][::-1], np.float32)
            if record.layer.align_corners:
                pixels = (grid + 1.0) * (size - 1.0) / 2.0
            else:
                pixels = ((grid + 1.0) * size - 1.0) / 2.0
            near = np.abs(pixels - np.floor(pixels) - 0.5) < _TIE
            tied |= near.reshape(len(tied), -1).any(axis=1)
    return tied


def _largest(value: np.ndarray, expected: np.ndarray) -> float:
    """NaN if either has one: a model that answers NaN has not been shown to be right."""
    if value.size == 0:
        return 0.0
    return float(np.max(np.abs(value.astype(np.float64) - expected.astype(np.float64))))
