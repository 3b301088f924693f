"""The batch job: an exported model over images, into one file of rows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stn_tf.errors import DataError
from stn_tf.interface import ModelInterface
from stn_tf.serving.jobs.columns import RowColumns
from stn_tf.serving.jobs.inputs import Batch, find_inputs
from stn_tf.serving.jobs.rows import row_writer
from stn_tf.serving.models import answers
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
        left_out: Outputs of which nothing was written, with the reason.
    """

    output: Path
    images: int
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    error_percent: float | None = None
    seconds: float = 0.0
    left_out: dict[str, str] = field(default_factory=dict)


def predict(
    engine: Engine,
    inputs: Sequence[Path],
    output: Path,
    *,
    batch_size: int = 64,
    probabilities: bool = False,
) -> Summary:
    """Runs a model over images and writes a row for each.

    The columns are source, index (of the image in its file), what the task of the model says,
    and for a model with a transformer theta and corners: where the crop's corners lie in the image
    file, (x, y) in its pixels, from top left clockwise. The task says:

        classification, binary    class, and its probability
        multilabel                classes, those of 0.5 and more, highest first
        others                    the model's own outputs, by name

    Args:
        engine: The model, from `load_engine`.
        inputs: Image files, folders, `.npy` and `.npz` files. Image files are fitted as the
            model's interface says, arrays are as it takes them, or uint8 pixels of its size.
        output: A `.jsonl`, `.csv` or `.parquet` file; it appears when all rows are there.
        batch_size: Images that are computed at once.
        probabilities: Whether to add the probabilities of all classes.

    Raises:
        ValueError: If `output` or `batch_size` cannot be.
        DataError: If an input does not exist or holds no image, or no image could be decoded.
        InputError: If an array does not fit the model, or the rows do not fit the format. Nothing
            is written.
        ModelError: If image files cannot become the model's input, or it says nothing of single
            images.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, but it is {batch_size}.")
    interface = engine.manifest.interface
    classifies = interface.task in answers.CLASSIFIES
    found = find_inputs(inputs, engine.input, interface.class_names if classifies else None)
    columns = RowColumns(engine.manifest, probabilities=probabilities)
    start, count, known, wrong = time.perf_counter(), 0, 0, 0
    with row_writer(output) as writer:
        for batch in found.batches(min(batch_size, engine.input.shape[0] or batch_size)):
            outputs = engine.run(batch.images)
            writer.write(columns.of(batch, outputs))
            count += len(batch.images)
            if classifies:
                seen, missed = _errors(interface, batch, outputs)
                known, wrong = known + seen, wrong + missed
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
        columns.left_out,
    )


def _errors(
    interface: ModelInterface, batch: Batch, outputs: dict[str, np.ndarray]
) -> tuple[int, int]:
    """How many images have a known class, and how many of those another one."""
    picked = answers.chosen(interface, outputs)
    if picked is None:
        return 0, 0
    known = batch.labels >= 0
    wrong = np.array([index for (index,) in picked])[known] != batch.labels[known]
    return int(known.sum()), int(wrong.sum())
