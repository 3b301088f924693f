"""The gate: an exported file that does not compute what the live model does is not kept.

The truth is what the model itself says; what is compared are the files as they are published.
"""

import dataclasses
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
from PIL import Image

from stn_tf.data.image_file import read_for
from stn_tf.errors import ParityError
from stn_tf.export.conversion.onnx_file import ONNX_FILE
from stn_tf.export.onnx_passes.targets import OnnxOptions
from stn_tf.export.proof.candidates import (
    Answers,
    default_alone,
    from_bytes,
    load_saved_model,
    onnx_runtimes,
    saved_model,
)
from stn_tf.export.proof.examples import Case
from stn_tf.export.proof.expectations import (
    DEFAULT,
    Expectation,
    expect_case,
    without_tensor_float_32,
)
from stn_tf.export.proof.parity_sampler import compare_sampler, largest_difference
from stn_tf.export.proof.tolerances import OWN, tolerance
from stn_tf.export.publish.manifest import ParityRow, Sampler
from stn_tf.export.source.heads import Head
from stn_tf.export.source.network import LOOKS, Network
from stn_tf.export.tensorflow import saved_model_file
from stn_tf.interface import ModelInterface

# Two decoders and filters differ by so many of 255 steps, in the mean and anywhere: rounding, and
# what the JPEG decoders of two libraries make of one file.
_STEPS = {"PNG": (0.1, 3.0), "JPEG": (1.0, 6.0)}
_BYTES = "saved_model/serving_bytes"


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
    head: Head | None = None


def parity(
    network: Network,
    version_dir: Path,
    expectations: Sequence[Expectation],
    options: OnnxOptions | None = None,
    *,
    precision: str = "float32",
    own_tolerance: float | None = None,
) -> list[ParityRow]:
    """Compares the SavedModel and the ONNX file of a version with the live model.

    Args:
        network: The live model.
        version_dir: Where the files are.
        expectations: What the live model says.
        options: How the ONNX file was written.
        precision: Of the ONNX file.
        own_tolerance: What the model's own outputs may differ by, relative to the largest number
            in them; None for 1e-4, and more under less precision.

    Returns:
        A row for every output, case and candidate, passed or not.
    """
    judge = Judge(network.interface, precision, own_tolerance, network.samplers, network.head)
    loaded = load_saved_model(version_dir)
    runtimes = onnx_runtimes(onnx.load(version_dir / ONNX_FILE))
    files = {"saved_model": saved_model(loaded, looks=bool(network.samplers))}
    files |= {name: default_alone(run) for name, run in runtimes.items()}
    with without_tensor_float_32():
        rows = compare_files(files, expectations, judge)
        rows += _compare_bytes(network, from_bytes(loaded), expectations, judge)
        for spec in network.sampled:
            rows += compare_sampler(spec, options or OnnxOptions())
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
    files: Mapping[str, Answers], expectations: Sequence[Expectation], judge: Judge
) -> list[ParityRow]:
    """Returns a row for every output of every case and file."""
    rows: list[ParityRow] = []
    for expectation in expectations:
        for name, answers in files.items():
            said = answers(expectation.case.feeds, expectation.signature)
            if said is not None:
                # The SavedModel is float32 whatever the ONNX file is.
                kept = judge if name.startswith("onnx") else _single(judge)
                rows += _compare(name, expectation, said, kept)
    return rows


def _single(judge: Judge) -> Judge:
    own = judge.tolerance if judge.precision == "float32" else None
    return dataclasses.replace(judge, precision="float32", tolerance=own)


def _compare_bytes(
    network: Network,
    answers: Callable[[list[bytes]], dict[str, np.ndarray]] | None,
    expectations: Sequence[Expectation],
    judge: Judge,
) -> Iterator[ParityRow]:
    """Compares `serving_bytes`: its pixels with what Python decodes of the same files, and what it
    says with what the model says of these pixels.
    """
    if answers is None:
        return
    spec = network.interface.image
    real = [e for e in expectations if e.case.real and e.signature == DEFAULT]
    kind = real[0].case.name.rpartition(",")[0]
    pixels = spec.to_pixels(np.concatenate([e.case.feeds[spec.name] for e in real]))
    whole = np.rint(np.clip(pixels, 0.0, 255.0)).astype(np.uint8)
    images = whole[np.arange(spec.shape[0] or 2) % len(whole)]
    for name, size, file_format in (
        ("PNG", None, "PNG"),
        ("larger PNG", _larger(images[0]), "PNG"),
        ("larger JPEG", _larger(images[0]), "JPEG"),
    ):
        encoded = [encode(image, file_format, size) for image in images]
        decoded = saved_model_file.decode_images(tf.constant(encoded), spec).numpy()
        read = np.stack([read_for(io.BytesIO(data), spec)[0] for data in encoded])
        case = Case(f"{kind}, {name}", {spec.name: decoded}, real=True)
        difference = np.abs(spec.to_pixels(decoded).astype(np.float64) - spec.to_pixels(read))
        mean, most = _STEPS[file_format]
        for output, value, allowed in (
            ("pixels, mean", difference.mean(), mean),
            ("pixels", difference.max(), most),
        ):
            yield ParityRow(
                output=output,
                case=case.name,
                candidate=_BYTES,
                largest_difference=float(value),
                tolerance=allowed,
                images=len(encoded),
            )
        said = expect_case(network, case)
        wanted = {key: said.answers[key] for key in network.default_outputs}
        expectation = Expectation(case, wanted, said.steady)
        yield from _compare(_BYTES, expectation, answers(encoded), _single(judge))


def _larger(image: np.ndarray) -> tuple[int, int]:
    """A width and height of another size and shape, so that fitting is compared too."""
    height, width = image.shape[:2]
    return round(width * 1.9) + 3, round(height * 1.4) + 2


def encode(
    image: np.ndarray, file_format: str = "PNG", size: tuple[int, int] | None = None
) -> bytes:
    """Encodes pixels `[H, W, C]` uint8 as an image file, stretched to (width, height)."""
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    if size is not None:
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, file_format, **({"quality": 92} if file_format == "JPEG" else {}))
    return file.getvalue()


def _compare(
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
            same = np.array_equal(value[chosen] if each else value, part)
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
