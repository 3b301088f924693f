"""What an export says about itself: `assets.extra/stn_tf.json`.

This module does not import TensorFlow.
"""

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stn_tf.errors import ModelError
from stn_tf.interface import Meaning, ModelInterface

MANIFEST_FILE = "assets.extra/stn_tf.json"
SAVED_MODEL_FILE = "saved_model.pb"
ONNX_FILE = "model.onnx"
LITERT_FILE = "model.tflite"
DEFAULT, BYTES_SIGNATURE = "serving_default", "serving_bytes"
# The signatures that are about the same inputs as the default one: its transformers.
LOOKING = ("localize", "rectify")
# What is told of each transformer.
LOOKS: tuple[Meaning, ...] = ("theta", "corners", "crops")


class _Part(BaseModel):
    # A later version may add keys; this one still reads what it knows.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Sampler(_Part):
    """The semantics of one spatial transformer.

    Attributes:
        options: The options of the transform, such as `control_points` of a thin plate spline.
        antialias: How many samples of an output pixel are averaged along each axis.
        input_size: Height and width of what it reads: of the image, or of feature maps; None
            where they are free.
        reads_images: Whether it reads the model's image itself, in the image's own pixels.
        depth: How many convolutions and matrix products lead to its theta, one after the other.
        output_size: Height and width of its crops (depth first for volumes).
    """

    transform: str
    options: dict[str, Any] = Field(default_factory=dict)
    kernel: str
    padding: str
    align_corners: bool
    antialias: int = 1
    input_size: tuple[int | None, ...]
    output_size: tuple[int | None, ...]
    reads_images: bool = False
    depth: int = 0


class OnnxInfo(_Part):
    """How `model.onnx` was written.

    Attributes:
        sampler: `dual`, `standard` or `custom`.
    """

    target: str
    sampler: str
    opset: int
    precision: Literal["float32", "float16", "int8"] = "float32"


class Accuracy(_Part):
    """What less precision than float32 costs.

    Attributes:
        images: How many were classified.
        error_percent: Of `model.onnx`; where there are no labels, how often it disagrees with the
            live model.
        float32_error_percent: The same of the live model.
        largest_difference: Between the logits of both.
        labelled: Whether the images have labels.
    """

    images: int
    error_percent: float
    float32_error_percent: float
    largest_difference: float
    labelled: bool


class ParityRow(_Part):
    """How far one output of one file is from the live model.

    Attributes:
        images: How many were compared.
    """

    output: str
    case: str
    candidate: str
    largest_difference: float
    tolerance: float
    images: int

    @property
    def passed(self) -> bool:
        return self.largest_difference <= self.tolerance  # False for NaN.


class Manifest(_Part):
    """The record of an export.

    Attributes:
        interface: What the model takes and gives.
        signatures: Name of each signature -> names of its outputs.
        sha256: Hash of every other file, by its path in the version directory.
        tolerance: What the user allowed the model's own outputs to differ by, relative to the
            largest number in them; None for what is usual.
    """

    format: Literal[2] = 2
    experiment: str
    model: str
    interface: ModelInterface
    signatures: dict[str, tuple[str, ...]]
    samplers: tuple[Sampler, ...] = ()
    error_percent: float | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    sha256: dict[str, str] = Field(default_factory=dict)
    onnx: OnnxInfo | None = None
    accuracy: Accuracy | None = None
    parity: tuple[ParityRow, ...] = ()
    tolerance: float | None = None
    created: datetime


def read_manifest(version_dir: Path) -> Manifest:
    """Reads the manifest of a version directory.

    Raises:
        ModelError: If there is none, or it is not one that this version understands.
    """
    path = Path(version_dir) / MANIFEST_FILE
    try:
        content = json.loads(path.read_bytes())
        if isinstance(content, dict) and content.get("format") == 1:
            content = _from_format_1(content)
        return Manifest.model_validate(content)
    except OSError as error:
        raise ModelError(
            f"`{path}` cannot be read: {error.strerror}. "
            "Write the version directory with `stn-tf export`."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if not isinstance(error, ValidationError):
            raise ModelError(
                f"`{path}` is not a manifest that this version reads: "
                f"{' '.join(str(error).split())}. Export the model again."
            ) from None
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise ModelError(
            f"`{path}` is not a manifest of format 2: {place}: {first['msg']}. "
            "Export the model again."
        ) from None


def _from_format_1(old: dict[str, Any]) -> dict[str, Any]:
    """What stn-tf 0.1.0 wrote: every classifier had images in 0..1, letterboxed, and ten names."""
    images, classes = old.get("input"), tuple(old.get("classes") or ())
    inputs = []
    for name, info in (old.get("inputs") or {}).items():
        spec: dict[str, Any] = {"name": name, "dtype": info["dtype"], "shape": info["shape"]}
        if images is not None:
            channels = images["channels"]
            spec |= {"layout": "NHWC", "value_range": images.get("range", (0.0, 1.0))}
            spec["color_space"] = {1: "grayscale", 3: "rgb"}.get(channels)
        inputs.append(spec)
    kinds: dict[str, tuple[Meaning, str, bool]] = {
        "logits": ("logits", "float32", False),
        "probabilities": ("probabilities", "float32", True),
        "class": ("class", "int64", True),
    }
    outputs, seen = [], set()
    for signature, names in old["signatures"].items():
        looks = signature in ("localize", "rectify")
        for name in names:
            if name in seen or not (looks or signature == "serving_default"):
                continue
            seen.add(name)
            kind = name.split("_")[0]
            meaning, dtype, derived = kinds.get(name, ("raw", "float32", False))
            if looks and kind in ("theta", "corners", "crops"):
                meaning = kind
            shape: tuple[int | None, ...] = (None,)
            if meaning in ("logits", "probabilities"):
                shape = (None, len(classes))
            outputs.append(
                {"name": name, "dtype": dtype, "shape": shape}
                | {"meaning": meaning, "derived": derived}
            )
    samplers = [dict(sampler) for sampler in old.get("samplers") or ()]
    for sampler in samplers[:1]:  # Others could be told from feature maps by their size alone.
        size = images and [images["height"], images["width"]]
        sampler["reads_images"] = list(sampler["input_size"]) == size
    interface = {
        "inputs": inputs,
        "outputs": outputs,
        "task": "classification" if images is not None else "none",
        "class_names": classes,
    }
    return {**old, "format": 2, "interface": interface, "samplers": samplers}


def write_manifest(version_dir: Path, manifest: Manifest) -> None:
    """Writes the manifest into a version directory."""
    path = version_dir / MANIFEST_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def hashes(version_dir: Path) -> dict[str, str]:
    """Returns the SHA-256 of every file in a version directory but the manifest, by path."""
    found = {}
    for path in sorted(version_dir.rglob("*")):
        name = path.relative_to(version_dir).as_posix()
        if path.is_file() and name != MANIFEST_FILE:
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
