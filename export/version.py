"""Writes a version: every file, the comparison, the manifest. All of it, or nothing."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterator, Sequence
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
from stn_tf.export.manifest import InputImages, Manifest, ParityRow, hashes, write_manifest
from stn_tf.export.network import inspect
from stn_tf.export.onnx_file import ONNX_FILE, onnx
from stn_tf.export.parity import parity, require
from stn_tf.export.parity_cases import REAL_IMAGES
from stn_tf.export.saved_model_file import saved_model
from stn_tf.export.version_directory import new_version
from stn_tf.export.warmup import write_warmup


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
    run_dir: str | PathLike[str], out: str | PathLike[str], *, on_parity: OnParity | None = None
) -> ExportResult:
    """Exports the network of a run, compared on the run's own test images.

    Args:
        run_dir: A folder that `stn_tf.training.train` wrote.
        out: The folder that gets the version as a sub-folder.
        on_parity: Called with the comparison before it is judged.

    Raises:
        RunError: If `run_dir` holds no usable run.
        ParityError: If a file does not compute what the network does; nothing is written.
        ExportError: If the network cannot be exported, or `out` cannot be written.
    """
    from stn_tf.training import Run

    run = Run(run_dir)
    images, _ = run.examples("test", count=REAL_IMAGES)
    return export_model(
        run.load_model(),
        out,
        images=images,
        experiment=run.config.name,
        name=run.config.model,
        classes=run.classes,
        error_percent=(run.report or {}).get("error_percent"),
        input_shape=run.input_shape,
        on_parity=on_parity,
    )


def export_model(
    model: keras.Model,
    out: str | PathLike[str],
    *,
    images: np.ndarray | None = None,
    experiment: str = "",
    name: str | None = None,
    classes: Sequence[str] | None = None,
    error_percent: float | None = None,
    input_shape: Sequence[int] | None = None,
    on_parity: OnParity | None = None,
) -> ExportResult:
    """Exports a Keras classifier, with or without spatial transformers, as a new version.

    Args:
        model: Any Keras model: images `[N, H, W, C]` in 0..1 -> logits or softmax `[N, classes]`.
        out: The folder that gets the version as a sub-folder.
        images: Real images to compare on, `[N, H, W, C]` float32; None makes up some.
        experiment: What the model comes from, for the record.
        name: What the model is called; None for its own name.
        classes: The names of the classes; None for "0", "1", ...
        error_percent: Of test images, for the record.
        input_shape: Height, width and channels; needed if the model does not know them.
        on_parity: Called with the comparison before it is judged.

    Raises:
        ParityError: If a file does not compute what the model does; nothing is written.
        ExportError: If the model cannot be exported, or `out` cannot be written.
    """
    out = Path(out)
    network = inspect(model, input_shape)
    height, width, channels = network.input_shape
    kind = "made-up" if images is None else "real"
    images = _enough(images, network.input_shape)
    count = int(network.outputs(tf.constant(images[:1]))["logits"].shape[-1])
    if classes is not None and len(classes) != count:
        raise ExportError(
            f"`classes` must name the {count} classes of the model, but it names {len(classes)}."
        )
    versions = _versions()
    metadata = {
        "stn_tf.experiment": experiment,
        "stn_tf.model": name or model.name,
        "stn_tf.error_percent": "" if error_percent is None else f"{error_percent:g}",
        "stn_tf.versions": json.dumps(versions),
    }
    with new_version(out) as version:
        with _writing(out):
            signatures = saved_model(network, version.path)
            onnx(network, version.path / ONNX_FILE, metadata=metadata)
            write_warmup(version.path, out.resolve().name, signatures, images)
        rows = parity(network, version.path, images, kind)
        if on_parity is not None:
            on_parity(rows)
        require(rows)
        manifest = Manifest(
            experiment=experiment,
            model=name or model.name,
            classes=tuple(classes or map(str, range(count))),
            input=InputImages(height=height, width=width, channels=channels),
            signatures=signatures,
            samplers=network.samplers,
            error_percent=error_percent,
            versions=versions,
            sha256=hashes(version.path),
            parity=tuple(rows),
            created=datetime.now(UTC).replace(microsecond=0),
        )
        with _writing(out):
            write_manifest(version.path, manifest)
    return ExportResult(version.path, manifest)


def _enough(images: np.ndarray | None, shape: tuple[int, int, int]) -> np.ndarray:
    """Returns the images that the comparison needs, repeated if they are too few."""
    if images is None:
        # Smooth, as photographs are: noise is among the adversarial images.
        coarse = np.random.default_rng(3).uniform(size=(REAL_IMAGES, 6, 6, shape[-1]))
        return tf.image.resize(coarse.astype(np.float32), shape[:2], method="bilinear").numpy()
    if images.ndim != 4 or images.shape[1:] != shape or len(images) == 0:
        raise ExportError(
            f"`images` must have shape [N, {', '.join(map(str, shape))}] with at least one image, "
            f"but it has shape {list(images.shape)}."
        )
    return np.resize(images.astype(np.float32), (REAL_IMAGES, *shape))


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
