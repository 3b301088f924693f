"""Writes a version: every file, the comparison, the manifest. All of it, or nothing."""

import contextlib
import dataclasses
import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx as onnx_format
import onnxruntime
import tensorflow as tf
import tf2onnx

import stn_tf
from stn_tf.errors import ExportError
from stn_tf.export.conversion.onnx_file import onnx
from stn_tf.export.onnx_passes import precision
from stn_tf.export.onnx_passes.find import opset_of
from stn_tf.export.onnx_passes.targets import ExportOptions
from stn_tf.export.proof.accuracy import measure, require_accuracy
from stn_tf.export.proof.comparison import require
from stn_tf.export.proof.examples import REAL_IMAGES, checked, feeds_for
from stn_tf.export.proof.expectations import (
    EXPECTATIONS_FILE,
    Expectation,
    Feeds,
    write_expectations,
)
from stn_tf.export.proof.parity import encode, parity
from stn_tf.export.proof.truth import expect
from stn_tf.export.publish.manifest import (
    BYTES_SIGNATURE,
    DEFAULT,
    LITERT_FILE,
    ONNX_FILE,
    Manifest,
    OnnxInfo,
    ParityRow,
    hashes,
    write_manifest,
)
from stn_tf.export.publish.version_directory import new_version
from stn_tf.export.source.load import Source, load_network
from stn_tf.export.source.network import Network
from stn_tf.export.tensorflow.image_decoding import DIFFERENCES
from stn_tf.export.tensorflow.litert import litert
from stn_tf.export.tensorflow.saved_model_file import saved_model, signature_outputs
from stn_tf.export.tensorflow.warmup import write_warmup
from stn_tf.interface import ModelInterface, numpy_dtype

_LOG = logging.getLogger(__name__)
# So many images calibrate int8.
_CALIBRATION = 256
# Of the images that accuracy is measured on, which are in memory.
_MOST_BYTES = 2 * 2**30


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """A finished export.

    Attributes:
        version_dir: The new folder, `out/1` or the next number.
        manifest: What it says about itself, with the rows of the comparison in `parity`.
        notes: What was decided for the user, a line each.
    """

    version_dir: Path
    manifest: Manifest
    notes: tuple[str, ...] = ()


OnParity = Callable[[Sequence[ParityRow]], None]
OnNote = Callable[[str], None]


def export_run(
    run_dir: str | PathLike[str],
    out: str | PathLike[str],
    *,
    data_dir: str | PathLike[str] | None = None,
    images: np.ndarray | Sequence[Path] | None = None,
    name: str | None = None,
    tolerance: float | None = None,
    options: ExportOptions | None = None,
    on_parity: OnParity | None = None,
    on_note: OnNote | None = None,
    **declared: Any,
) -> ExportResult:
    """Exports the network of a run, compared on the run's own test images.

    Args:
        run_dir: A folder that `stn_tf.experiments.train` wrote.
        out: The folder that gets the version as a sub-folder.
        data_dir: Where the run's data is now, if not where it was.
        images: Images to compare on and to calibrate int8 with, instead of the run's own.
        name, tolerance, options, on_parity, on_note: As for `export_model`.
        **declared: As for `load_network`: what the run leaves open, such as the range of images.

    Raises:
        RunError: If `run_dir` holds no usable run.
        DataError: If its data cannot be read, or has other classes.
        ParityError: If a file does not compute what the network does; nothing is written.
        ExportError: If the network cannot be exported, or `out` cannot be written.
    """
    from stn_tf.experiments import Run

    run = Run(run_dir, data_dir)
    options = options or ExportOptions()
    labels = calibration = None
    if images is None and run.classes and len(run.interface.inputs) == 1:
        part = next((part for part in ("test", "validation", "train") if run.has(part)), "test")
        count = REAL_IMAGES if options.precision == "float32" else _most_images(run.interface)
        images, labels = run.examples(part, count=count)
        if options.precision != "float32" and on_note is not None and len(images) == count:
            on_note(f"Accuracy is measured on the first {count:,} {part} images, which fit memory.")
        if options.precision == "int8":
            learned = "validation" if run.has("validation") else "train"
            calibration, _ = run.examples(learned, count=_CALIBRATION)
    return export_model(
        load_network(run_dir, **declared),
        out,
        images=images,
        labels=labels,
        calibration=calibration,
        experiment=run.config.name,
        name=name or run.config.model,
        error_percent=(run.report or {}).get("error_percent"),
        tolerance=tolerance,
        options=options,
        on_parity=on_parity,
        on_note=on_note,
    )


def _most_images(interface: ModelInterface) -> int:
    """How many inputs fit into the memory that accuracy may take."""
    spec = interface.inputs[0]
    size = numpy_dtype(spec.dtype).itemsize * math.prod(length or 1 for length in spec.shape[1:])
    return max(REAL_IMAGES, _MOST_BYTES // max(size, 1))


def export_model(
    model: Source,
    out: str | PathLike[str],
    *,
    images: np.ndarray | Feeds | Sequence[Path] | None = None,
    labels: np.ndarray | None = None,
    calibration: np.ndarray | None = None,
    experiment: str = "",
    name: str | None = None,
    error_percent: float | None = None,
    tolerance: float | None = None,
    options: ExportOptions | None = None,
    on_parity: OnParity | None = None,
    on_note: OnNote | None = None,
    **declared: Any,
) -> ExportResult:
    """Exports a model, with or without spatial transformers, as a new version.

    Args:
        model: A Keras model, a `.keras` file, a SavedModel folder, a `tf.function`, or what
            `load_network` returns.
        out: The folder that gets the version as a sub-folder.
        images: Real images to compare on: an array as the model takes it (or uint8 pixels), arrays
            for all inputs by name, or paths of image files, folders and arrays; None makes up some.
        labels: The classes of these images `[N]`, with which less precision is judged; None
            judges by the classes that the live model gives them.
        calibration: Images that int8 is calibrated with; None takes those to compare on.
        experiment: What the model comes from, for the record.
        name: What the model is called; None for its own name.
        error_percent: Of test images, for the record.
        tolerance: What the model's own outputs may differ by, relative to the largest number in
            them; None for 1e-4, and more under less precision.
        options: What the files are for, and their precision.
        on_parity: Called with the comparison before it is judged.
        on_note: Called with each line that says what was decided for the user; None logs them.
        **declared: What cannot be seen in the model, the fields of
            `stn_tf.export.source.declaration.Declaration`: `task`, `classes`, `input_range`,
            `input_shape`, `resize`, ...

    Raises:
        ParityError: If a file does not compute what the model does; nothing is written.
        ExportError: If the model cannot be exported, what was declared does not fit, or `out`
            cannot be written.
        InputError: If images lie outside of the model's range.
        ModelError: If there is no model to load.
    """
    out, options = Path(out), options or ExportOptions()
    if tolerance is not None and not 0.0 < tolerance < 1.0:
        raise ExportError(
            f"`tolerance` must lie between 0 and 1, relative to the outputs, but it is {tolerance}."
        )
    say = on_note or _LOG.warning
    network = load_network(model, **declared)
    for note in network.notes:
        say(note)
    kind = "made-up images" if images is None else "real images"
    feeds = feeds_for(network.interface, images)
    if options.precision == "int8" and images is None:
        raise ExportError(
            "`precision` int8 needs real images, with which it is calibrated, but there are none. "
            "Give some with --images."
        )
    interface = network.interface
    made_with = versions()
    metadata = {
        "stn_tf.experiment": experiment,
        "stn_tf.model": name or network.name,
        "stn_tf.error_percent": "" if error_percent is None else f"{error_percent:g}",
        "stn_tf.versions": json.dumps(made_with),
        "stn_tf.precision": options.precision,
    }
    expectations = expect(network, feeds, kind)
    if network.half is not None:
        say(_half_distance(network, expectations))
    with new_version(out) as version:
        with _writing(out):
            signatures = signature_outputs(network)
            if "saved_model" in options.formats:
                signatures = saved_model(network, version.path, xla=options.xla)
                if network.interface.takes_images:
                    say(DIFFERENCES)
                examples = _examples(network, signatures, expectations)
                write_warmup(version.path, out.resolve().name, examples)
            file = None
            if "onnx" in options.formats:
                path = version.path / ONNX_FILE
                file = onnx(network, path, options=options.onnx, metadata=metadata)
                if options.precision == "float16":
                    file = precision.to_float16(file)
                elif options.precision == "int8":
                    given = feeds if calibration is None else checked(interface, calibration)
                    file = precision.to_int8(file, _first(given, _CALIBRATION))
                path.write_bytes(file.SerializeToString())
            if "litert" in options.formats:
                litert(network, version.path / LITERT_FILE)
                size = (version.path / LITERT_FILE).stat().st_size
                say(f"{LITERT_FILE} has {size / 1e6:.1f} MB; its samplers are gathers.")
            write_expectations(version.path / EXPECTATIONS_FILE, expectations)
        rows = parity(
            network,
            version.path,
            expectations,
            options.onnx,
            precision=options.precision,
            own_tolerance=tolerance,
        )
        if on_parity is not None:
            on_parity(rows)
        require(rows, "Nothing was written; --tolerance allows the model's own outputs more.")
        accuracy = None
        if options.precision != "float32" and images is not None and file is not None:
            accuracy = measure(file, network, feeds, labels)
            if accuracy is not None:
                require_accuracy(accuracy, options.precision, options.max_accuracy_drop)
        manifest = Manifest(
            experiment=experiment,
            model=name or network.name,
            interface=interface,
            signatures=signatures,
            samplers=network.samplers,
            error_percent=error_percent,
            versions=made_with,
            onnx=None
            if file is None
            else OnnxInfo(
                target=options.onnx.target,
                sampler=options.onnx.form,
                opset=opset_of(file),
                precision=options.precision,
            ),
            accuracy=accuracy,
            sha256=hashes(version.path),
            parity=tuple(rows),
            tolerance=tolerance,
            created=datetime.now(UTC).replace(microsecond=0),
        )
        with _writing(out):
            write_manifest(version.path, manifest)
    return ExportResult(version.path, manifest, network.notes)


def _first(feeds: Feeds, count: int) -> dict[str, np.ndarray]:
    return {name: values[:count] if values.ndim else values for name, values in feeds.items()}


def _half_distance(network: Network, expectations: Sequence[Expectation]) -> str:
    """The line that says how far the files are from the model in half precision."""
    assert network.half is not None
    first = expectations[0]
    live = network.half(first.case.feeds)
    told = []
    for name in network.interface.own_outputs:
        expected = first.answers[name]
        if expected.dtype.kind == "f" and expected.size:
            told.append(f"{name} {float(np.max(np.abs(live[name] - expected))):.1e}")
    return (
        "The model computes in half precision; the files hold the same weights in float32. Largest "
        f"distance to the live model: {', '.join(told)}."
    )


def _examples(
    network: Network,
    signatures: Mapping[str, Sequence[str]],
    expectations: Sequence[Expectation],
) -> dict[str, list[Feeds]]:
    """What every signature is warmed up with."""
    examples: dict[str, list[Feeds]] = {}
    real = [e.case.feeds for e in expectations if e.case.real and e.signature == DEFAULT][:2]
    for signature in signatures:
        if signature in network.others:
            told = [e.case.feeds for e in expectations if e.signature == signature]
            if told:
                examples[signature] = told
        elif signature == BYTES_SIGNATURE:
            spec = network.interface.image
            pixels = [spec.to_pixels(feeds[spec.name]) for feeds in real]
            encoded = [
                [encode(np.rint(np.clip(p, 0, 255)).astype(np.uint8)) for p in batch]
                for batch in pixels
            ]
            examples[signature] = [{"image_bytes": np.array(data, object)} for data in encoded]
        else:
            examples[signature] = real
    return examples


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
        # "{{function_node ...}} PATH; No space left on device [Op:SaveV2]" -> the reason.
        reason = re.sub(r" *\[Op:\w+\]$", "", reason.splitlines()[0]).rsplit("; ")[-1]
        raise ExportError(
            f"The export cannot be written to `{out}`: {reason}. "
            "Free some space there, or choose another folder with --out."
        ) from error


def versions() -> dict[str, str]:
    """Returns the versions of what makes an export."""
    return {
        "stn_tf": stn_tf.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "onnx": onnx_format.__version__,
        "onnxruntime": onnxruntime.__version__,
        "tf2onnx": tf2onnx.__version__,
    }
