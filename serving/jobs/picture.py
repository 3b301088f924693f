"""Where an exported model looks, as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from stn_tf import plots
from stn_tf.errors import DataError, ModelError
from stn_tf.export.manifest import Sampler
from stn_tf.serving.jobs.inputs import find_inputs
from stn_tf.serving.models.engine import Engine


def picture(engine: Engine, inputs: Sequence[Path], *, count: int = 10) -> Figure:
    """Draws the first `count` images as the model reads them: sampling grid, crop and class.

    Args:
        engine: A model with a spatial transformer, from `load_engine`.
        inputs: What `stn_tf.serving.jobs.predict` takes.
        count: How many images are drawn.

    Raises:
        ModelError: If the model has no spatial transformer.
        DataError: If an input does not exist, or no image can be decoded.
        InputError: If an array does not fit the model.
    """
    manifest = engine.manifest
    if not manifest.samplers:
        raise ModelError(
            f"`{engine.version_dir}` holds a network without a spatial transformer ("
            f"{manifest.model}): there is nothing to draw."
        )
    size = manifest.images
    found = find_inputs(inputs, (size.height, size.width, size.channels), manifest.classes)
    batches, missing = [], count
    for batch in found.batches(min(count, 64)):
        batches.append((batch.images[:missing], batch.labels[:missing]))
        missing -= len(batches[-1][0])
        if missing <= 0:
            break
    if not batches:
        path, reason = found.unreadable[0]
        raise DataError(f"No image can be decoded; the first, `{path}`: {reason}")
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    outputs = engine.run(images)
    known = all(label >= 0 for label in labels)
    return plots.overlay_figure(
        images,
        outputs["corners"],
        outputs["crops"],
        grids=_grid_pixels(manifest.samplers[0], outputs["theta"], (size.height, size.width)),
        classes=[manifest.classes[index] for index in outputs["class"]],
        probabilities=outputs["probabilities"].max(axis=-1),
        labels=[manifest.classes[label] for label in labels] if known else None,
    )


def _grid_pixels(sampler: Sampler, theta: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`[N, h, w, 2]`: where the sampler reads, (x, y) in pixels of the image."""
    from stn_tf.geometry import get_transform

    transform = get_transform(sampler.transform, **sampler.options)
    grid = transform.grid(theta, sampler.output_size, align_corners=sampler.align_corners).numpy()
    extent = np.array(size[::-1], np.float32)
    if sampler.align_corners:
        pixels: np.ndarray = (grid + 1) / 2 * (extent - 1)
    else:
        pixels = ((grid + 1) * extent - 1) / 2
    return pixels
