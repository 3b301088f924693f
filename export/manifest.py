"""What an export says about itself: `assets.extra/stn_tf.json`.

This module does not import TensorFlow.
"""

import hashlib
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stn_tf.errors import ModelError

MANIFEST_FILE = "assets.extra/stn_tf.json"


class _Part(BaseModel):
    # A later version may add keys; this one still reads what it knows.
    model_config = ConfigDict(frozen=True, extra="ignore")


class InputImages(_Part):
    """The images that the model takes: `[N, height, width, channels]`."""

    height: int
    width: int
    channels: int
    dtype: Literal["float32"] = "float32"
    range: tuple[float, float] = (0.0, 1.0)


class Sampler(_Part):
    """The semantics of one spatial transformer.

    Attributes:
        options: The options of the transform, such as `control_points` of a thin plate spline.
        input_size: Height and width of what it reads: of the image, or of feature maps.
        output_size: Height and width of its crops (depth first for volumes).
    """

    transform: str
    options: dict[str, int | float] = Field(default_factory=dict)
    kernel: str
    padding: str
    align_corners: bool
    input_size: tuple[int, ...]
    output_size: tuple[int, ...]


class TensorInfo(_Part):
    """Shape and type of an input; the first dimension, the batch, is None."""

    shape: tuple[int | None, ...]
    dtype: str


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
        classes: The names of the classes; empty for a model that is no classifier.
        input: The images that a classifier of images takes; None for other models.
        inputs: All inputs of `serving_default` by name.
        signatures: Name of each signature -> names of its outputs.
        sha256: Hash of every other file, by its path in the version directory.
    """

    format: Literal[1] = 1
    experiment: str
    model: str
    classes: tuple[str, ...]
    input: InputImages | None
    inputs: dict[str, TensorInfo] = Field(default_factory=dict)
    signatures: dict[str, tuple[str, ...]]
    samplers: tuple[Sampler, ...] = ()
    error_percent: float | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    sha256: dict[str, str] = Field(default_factory=dict)
    onnx: OnnxInfo | None = None
    accuracy: Accuracy | None = None
    parity: tuple[ParityRow, ...] = ()
    created: datetime

    @property
    def images(self) -> InputImages:
        """The images that a classifier of images takes.

        Raises:
            ModelError: If the model is another.
        """
        if self.input is None:
            raise ModelError(
                f"The model {self.model} is no classifier of images: it takes "
                f"{', '.join(self.inputs)}. Call its signatures with a TensorFlow Serving client."
            )
        return self.input


def read_manifest(version_dir: Path) -> Manifest:
    """Reads the manifest of a version directory.

    Raises:
        ModelError: If there is none, or it is not one that this version understands.
    """
    path = Path(version_dir) / MANIFEST_FILE
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(
            f"`{path}` cannot be read: {error.strerror}. "
            "Write the version directory with `stn-tf export`."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise ModelError(
            f"`{path}` is not a manifest of format 1: {place}: {first['msg']}. "
            "Export the model again."
        ) from None


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
