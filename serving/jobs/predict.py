"""The batch job: an exported model over images, into one file of rows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stn_tf.errors import DataError
from stn_tf.export.manifest import Manifest
from stn_tf.serving.jobs.inputs import Batch, find_inputs
from stn_tf.serving.jobs.rows import row_writer
from stn_tf.serving.models.engine import Engine


@dataclass(frozen=True)
class Summary:
    """What a job did.

    Attributes:
        output: The file of rows.
        images: How many rows it has.
        unreadable: Image files that could not be decoded, with the reason.
        error_percent: Of the images whose class is known (labels in an `.npz`), if any is.
        seconds: From the first image to the last row.
    """

    output: Path
    images: int
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    error_percent: float | None = None
    seconds: float = 0.0


def predict(
    engine: Engine,
    inputs: Sequence[Path],
    output: Path,
    *,
    batch_size: int = 64,
    probabilities: bool = False,
) -> Summary:
    """Runs a model over images and writes a row for each.

    The columns are source, index (of the image in its file), class, probability, and for a model
    with a transformer theta and corners: where the crop's corners lie in the image file, (x, y) in
    its pixels, from top left clockwise.

    Args:
        engine: The model, from `load_engine`.
        inputs: Image files, folders, `.npy` and `.npz` files. Image files are fitted as in
            training, arrays must have the model's size: uint8, or floats in 0..1.
        output: A `.jsonl`, `.csv` or `.parquet` file; it appears when all rows are there.
        batch_size: Images that are computed at once.
        probabilities: Whether to add the probabilities of all classes.

    Raises:
        ValueError: If `output` or `batch_size` cannot be.
        DataError: If an input does not exist or holds no image, or no image could be decoded.
        InputError: If an array does not fit the model. Nothing is written.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, but it is {batch_size}.")
    size = engine.manifest.images
    classes = engine.manifest.classes
    found = find_inputs(inputs, (size.height, size.width, size.channels), classes)
    start, count, known, wrong = time.perf_counter(), 0, 0, 0
    with row_writer(output, classes) as writer:
        for batch in found.batches(batch_size):
            outputs = engine.run(batch.images)
            writer.write(_columns(batch, outputs, engine.manifest, probabilities))
            labelled = batch.labels >= 0
            count += len(batch.images)
            known += int(labelled.sum())
            wrong += int(np.sum(outputs["class"][labelled] != batch.labels[labelled]))
    if count == 0:
        path, reason = found.unreadable[0]
        raise DataError(
            f"None of the {len(found.unreadable)} image files can be decoded; "
            f"the first, `{path}`: {reason}"
        )
    return Summary(
        Path(output),
        count,
        found.unreadable,
        100.0 * wrong / known if known else None,
        time.perf_counter() - start,
    )


def _columns(
    batch: Batch, outputs: dict[str, np.ndarray], manifest: Manifest, probabilities: bool
) -> dict[str, Sequence[str] | np.ndarray]:
    classes = manifest.classes
    input_size = manifest.samplers[0].input_size if manifest.samplers else None
    picked = outputs["class"]
    columns: dict[str, Sequence[str] | np.ndarray] = {
        "source": batch.sources,
        "index": batch.indices,
        "class": [classes[index] for index in picked],
        "probability": np.take_along_axis(outputs["probabilities"], picked[:, None], axis=1)[:, 0],
    }
    # Sorted, because each engine has an order of its own: theta, corners, theta_2, corners_2, ...
    for theta in sorted((name for name in outputs if name.startswith("theta")), key=_number):
        corners = theta.replace("theta", "corners")
        columns[theta] = outputs[theta].reshape(len(batch.images), -1)
        # Others may read feature maps or crops: their corners stay in pixels of what they read.
        reads_images = corners == "corners" and input_size == batch.images.shape[1:3]
        moved = batch.original_pixels(outputs[corners]) if reads_images else outputs[corners]
        columns[corners] = moved
    if probabilities:
        columns["probabilities"] = outputs["probabilities"]
    return columns


def _number(name: str) -> int:
    """Which transformer an output belongs to: 1 for theta, 2 for theta_2."""
    return int(name.partition("_")[2] or 1)
