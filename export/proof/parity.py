"""The gate: an exported file that does not compute what the live model does is not kept.

The truth is what the model itself says; what is compared are the files as they are published.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from stn_tf.data.image_file import read_for
from stn_tf.export.onnx_passes.file import read_onnx
from stn_tf.export.onnx_passes.targets import OnnxOptions
from stn_tf.export.proof.comparison import (
    Answers,
    Judge,
    compare,
    compare_files,
    default_alone,
    in_float32,
)
from stn_tf.export.proof.expectations import Case, Expectation
from stn_tf.export.proof.parity_sampler import compare_sampler
from stn_tf.export.proof.runtimes import litert_runtime
from stn_tf.export.proof.runtimes.onnx_runtime import ways_to_run
from stn_tf.export.proof.runtimes.tensorflow_runtime import (
    from_bytes,
    load_saved_model,
    saved_model,
    without_tensor_float_32,
)
from stn_tf.export.proof.truth import expect_case
from stn_tf.export.publish.manifest import (
    DEFAULT,
    LITERT_FILE,
    ONNX_FILE,
    SAVED_MODEL_FILE,
    ParityRow,
)
from stn_tf.export.source.network import Network
from stn_tf.export.tensorflow import saved_model_file

# Two decoders and filters differ by so many of 255 steps, in the mean and anywhere: rounding, and
# what the JPEG decoders of two libraries make of one file.
_STEPS = {"PNG": (0.1, 3.0), "JPEG": (1.0, 6.0)}
_BYTES = "saved_model/serving_bytes"


def parity(
    network: Network,
    version_dir: Path,
    expectations: Sequence[Expectation],
    options: OnnxOptions | None = None,
    *,
    precision: str = "float32",
    own_tolerance: float | None = None,
) -> list[ParityRow]:
    """Compares the files of a version with the live model.

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
    looks = bool(network.samplers)
    files: dict[str, Answers] = {}
    encoded = None
    if (version_dir / SAVED_MODEL_FILE).is_file():
        loaded = load_saved_model(version_dir)
        files["saved_model"] = saved_model(loaded, looks=looks)
        encoded = from_bytes(loaded)
    path = version_dir / ONNX_FILE
    if path.is_file():
        runtimes = ways_to_run(read_onnx(path), path)
        files |= {name: default_alone(run) for name, run in runtimes.items()}
    if (version_dir / LITERT_FILE).is_file():
        files["litert"] = litert_runtime.answers(version_dir / LITERT_FILE, looks=looks)
    with without_tensor_float_32():
        rows = compare_files(files, expectations, judge)
        rows += _compare_bytes(network, encoded, expectations, judge)
        if path.is_file():
            for spec in network.sampled:
                rows += compare_sampler(spec, options or OnnxOptions())
    return rows


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
        yield from compare(_BYTES, expectation, answers(encoded), in_float32(judge))


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
