"""Writes a version: every file, the comparison, the manifest. All of it, or nothing."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path

import keras
import numpy as np
import onnx as onnx_format
import onnxruntime
import tensorflow as tf
import tf2onnx

import stn_tf
from stn_tf.errors import ExportError
from stn_tf.export import onnx_form, precision
from stn_tf.export.candidates import BYTES_SIGNATURE
from stn_tf.export.expectations import EXPECTATIONS_FILE, expect, write_expectations
from stn_tf.export.manifest import (
    InputImages,
    Manifest,
    OnnxInfo,
    ParityRow,
    TensorInfo,
    hashes,
    write_manifest,
)
from stn_tf.export.network import IMAGES, Network
from stn_tf.export.onnx_file import ONNX_FILE, onnx
from stn_tf.export.parity import parity, require
from stn_tf.export.parity_cases import REAL_IMAGES, Feeds, made_up
from stn_tf.export.saved_model_file import saved_model
from stn_tf.export.source import Source, load_network
from stn_tf.export.targets import ExportOptions
from stn_tf.export.version_directory import new_version
from stn_tf.export.warmup import write_warmup

# So many images calibrate int8.
_CALIBRATION = 256


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """A finished export.

    Attributes:
        version_dir: The new folder, `out/1` or the next number.
        manifest: What it says about itself, with the rows of the comparison in `parity`.
    """

    version_dir: Path
    manifest: Manifest


OnParity = Callable[[Sequence[ParityRow]], None]


def export_run(
    run_dir: str | PathLike[str],
    out: str | PathLike[str],
    *,
    options: ExportOptions | None = None,
    on_parity: OnParity | None = None,
) -> ExportResult:
    """Exports the network of a run, compared on the run's own test images.

    Args:
        run_dir: A folder that `stn_tf.training.train` wrote.
        out: The folder that gets the version as a sub-folder.
        options: What the files are for, and their precision.
        on_parity: Called with the comparison before it is judged.

    Raises:
        RunError: If `run_dir` holds no usable run.
        ParityError: If a file does not compute what the network does; nothing is written.
        ExportError: If the network cannot be exported, or `out` cannot be written.
    """
    from stn_tf.training import Run

    run = Run(run_dir)
    options = options or ExportOptions()
    count = REAL_IMAGES if options.precision == "float32" else None
    images, labels = run.examples("test", count=count)
    calibration = None
    if options.precision == "int8":
        calibration, _ = run.examples("validation", count=_CALIBRATION)
    return export_model(
        run.load_model(),
        out,
        images=images,
        labels=labels,
        calibration=calibration,
        experiment=run.config.name,
        name=run.config.model,
        classes=run.classes,
        error_percent=(run.report or {}).get("error_percent"),
        input_shape=run.input_shape,
        options=options,
        on_parity=on_parity,
    )


def export_model(
    model: Source,
    out: str | PathLike[str],
    *,
    images: np.ndarray | Feeds | None = None,
    labels: np.ndarray | None = None,
    calibration: np.ndarray | None = None,
    experiment: str = "",
    name: str | None = None,
    classes: Sequence[str] | None = None,
    error_percent: float | None = None,
    input_shape: Sequence[int] | None = None,
    options: ExportOptions | None = None,
    on_parity: OnParity | None = None,
) -> ExportResult:
    """Exports a model, with or without spatial transformers, as a new version.

    Args:
        model: A Keras model, a `.keras` file, a SavedModel folder, or what `load_network` returns.
        out: The folder that gets the version as a sub-folder.
        images: Real images to compare on, `[N, H, W, C]` float32, or arrays for all inputs by
            name; None makes up some.
        labels: The classes of these images `[N]`, with which less precision is judged; None
            judges by the classes that the live model gives them.
        calibration: Images that int8 is calibrated with; None takes those to compare on.
        experiment: What the model comes from, for the record.
        name: What the model is called; None for its own name.
        classes: The names of the classes; None for "0", "1", ...
        error_percent: Of test images, for the record.
        input_shape: The shape of one image; needed if a Keras model does not know it.
        options: What the files are for, and their precision.
        on_parity: Called with the comparison before it is judged.

    Raises:
        ParityError: If a file does not compute what the model does; nothing is written.
        ExportError: If the model cannot be exported, or `out` cannot be written.
        ModelError: If there is no model to load.
    """
    out, options = Path(out), options or ExportOptions()
    network = load_network(model, input_shape=input_shape)
    kind = "made-up images" if images is None else "real images"
    feeds = _feeds(images, network)
    names = _class_names(network, feeds, classes)
    versions = _versions()
    metadata = {
        "stn_tf.experiment": experiment,
        "stn_tf.model": name or network.name,
        "stn_tf.error_percent": "" if error_percent is None else f"{error_percent:g}",
        "stn_tf.versions": json.dumps(versions),
        "stn_tf.precision": options.precision,
    }
    expectations = expect(network, _enough(feeds), kind)
    with new_version(out) as version:
        with _writing(out):
            signatures = saved_model(network, version.path, xla=options.xla)
            file = onnx(network, version.path / ONNX_FILE, options=options.onnx, metadata=metadata)
            examples = _examples(network, signatures, _enough(feeds))
            write_warmup(version.path, out.resolve().name, examples)
            write_expectations(version.path / EXPECTATIONS_FILE, expectations)
        rows = parity(network, version.path, expectations, options.onnx)
        if on_parity is not None:
            on_parity(rows)
        require(rows)
        accuracy = None
        if options.precision != "float32":
            file, accuracy = precision.reduce(file, network, options, feeds, labels, calibration)
            with _writing(out):
                (version.path / ONNX_FILE).write_bytes(file.SerializeToString())
        shape = network.image_shape
        manifest = Manifest(
            experiment=experiment,
            model=name or network.name,
            classes=names,
            input=shape and InputImages(height=shape[0], width=shape[1], channels=shape[2]),
            inputs={
                key: TensorInfo(shape=tuple(spec.shape), dtype=spec.dtype.name)
                for key, spec in network.inputs.items()
            },
            signatures=signatures,
            samplers=network.samplers,
            error_percent=error_percent,
            versions=versions,
            onnx=OnnxInfo(
                target=options.onnx.target,
                sampler=options.onnx.form,
                opset=onnx_form.opset_of(file),
                precision=options.precision,
            ),
            accuracy=accuracy,
            sha256=hashes(version.path),
            parity=tuple(rows),
            created=datetime.now(UTC).replace(microsecond=0),
        )
        with _writing(out):
            write_manifest(version.path, manifest)
    return ExportResult(version.path, manifest)


def _feeds(images: np.ndarray | Feeds | None, network: Network) -> dict[str, np.ndarray]:
    """Returns arrays for every input, checked."""
    if images is None:
        return made_up(network.inputs)
    given = dict(images) if isinstance(images, Mapping) else {IMAGES: images}
    if set(given) != set(network.inputs):
        raise ExportError(
            f"`images` must have an array for each of {', '.join(network.inputs)}, "
            f"but it has {', '.join(given)}."
        )
    for name, values in given.items():
        spec = network.inputs[name]
        wanted = list(spec.shape[1:])
        if values.ndim != len(wanted) + 1 or list(values.shape[1:]) != wanted or not len(values):
            raise ExportError(
                f"`{name}` must have shape [N, {', '.join(map(str, wanted))}] with at least one "
                f"image, but it has shape {list(values.shape)}."
            )
        given[name] = values.astype(spec.dtype.as_numpy_dtype)
    return given


def _enough(feeds: Feeds) -> dict[str, np.ndarray]:
    """Returns the examples that the comparison needs, repeated if they are too few."""
    return {k: np.resize(v, (REAL_IMAGES, *v.shape[1:])) for k, v in feeds.items()}


def _class_names(network: Network, feeds: Feeds, classes: Sequence[str] | None) -> tuple[str, ...]:
    if not network.classifies:
        return tuple(classes or ())
    one = {name: tf.constant(values[:1]) for name, values in feeds.items()}
    count = int(network.answer(one)["logits"].shape[-1])
    if classes is not None and len(classes) != count:
        raise ExportError(
            f"`classes` must name the {count} classes of the model, but it names {len(classes)}."
        )
    return tuple(classes or map(str, range(count)))


def _examples(
    network: Network, signatures: Mapping[str, Sequence[str]], feeds: Feeds
) -> dict[str, Feeds]:
    """What every signature is warmed up with."""
    examples: dict[str, Feeds] = {}
    for signature in signatures:
        if signature in network.others:
            specs = network.others[signature].structured_input_signature[1]
            # Of text, and of inputs of any size, nobody knows what to warm up with.
            with contextlib.suppress(ExportError):
                examples[signature] = made_up(specs)
        elif signature == BYTES_SIGNATURE:
            examples[signature] = {"image_bytes": feeds[IMAGES]}
        else:
            examples[signature] = feeds
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


def _versions() -> dict[str, str]:
    return {
        "stn_tf": stn_tf.__version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "onnx": onnx_format.__version__,
        "onnxruntime": onnxruntime.__version__,
        "tf2onnx": tf2onnx.__version__,
    }
