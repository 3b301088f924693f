"""Where an exported model looks, as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stn_tf import plots
from stn_tf.errors import DataError, ModelError
from stn_tf.export.publish.manifest import Sampler
from stn_tf.interface import InputSpec, ModelInterface
from stn_tf.serving.jobs.inputs import find_inputs
from stn_tf.serving.models import answers
from stn_tf.serving.models.engine import Engine

_MOST_VALUES = 4


def picture(engine: Engine, inputs: Sequence[Path], *, count: int = 10) -> Figure:
    """Draws images as the model reads them: sampling grid, crop, and answer.

    The first transformer that reads the images is drawn, else the first. Transforms that stn-tf
    does not know are drawn as outlines, without the points in them.

    Args:
        engine: A model with a spatial transformer, from `load_engine`.
        inputs: What `stn_tf.serving.jobs.predict` takes.
        count: How many images are drawn: of files, evenly spread over those found; of a model that
            takes images of any size, only those that have the size of the first.

    Raises:
        ModelError: If the model has no spatial transformer, or takes no images.
        DataError: If an input does not exist, or no image can be decoded.
        InputError: If an array does not fit the model.
    """
    manifest = engine.manifest
    shown = [t for t in answers.transformers(manifest) if t.corners and t.crops]
    if not shown:
        raise ModelError(
            f"`{engine.version_dir}` holds a network without a spatial transformer ("
            f"{manifest.model}): there is nothing to draw."
        )
    look = next((t for t in shown if t.sampler.reads_images), shown[0])
    spec, interface = manifest.interface.image, manifest.interface
    classifies = interface.task in answers.CLASSIFIES
    images, labels = _read(inputs, spec, interface.class_names if classifies else None, count)
    outputs = _run(engine, images)
    height, width = images.shape[1:3] if spec.layout == "NHWC" else images.shape[2:]
    crops = outputs[look.crops]
    theta = outputs[look.theta] if look.theta else None
    size = (height, width), crops.shape[-3:-1]
    grids = None if theta is None else _grid_pixels(look.sampler, theta, *size)
    return plots.overlay_figure(
        _drawn(spec.to_pixels(images)),
        _corners(look.sampler, outputs[look.corners], (height, width)),
        _crops(look.sampler, crops, spec),
        grids=grids,
        **_captions(interface, outputs, labels),
    )


def _read(
    inputs: Sequence[Path], spec: InputSpec, classes: Sequence[str] | None, count: int
) -> tuple[np.ndarray, np.ndarray]:
    found = find_inputs(inputs, spec, classes)
    files = found.files
    spread = {i * len(files) // count for i in range(count)}
    found.files = [files[i] for i in sorted(range(len(files)), key=lambda i: i not in spread)]
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    missing = count
    for batch in found.batches(min(count, 64)):
        if images and batch.images.shape[1:] != images[0].shape[1:]:
            break
        images.append(batch.images[:missing])
        labels.append(batch.labels[:missing])
        missing -= len(images[-1])
        if missing <= 0:
            break
    if not images:
        path, reason = found.unreadable[0]
        raise DataError(f"No image can be decoded; the first, `{path}`: {reason}")
    return np.concatenate(images), np.concatenate(labels)


def _run(engine: Engine, images: np.ndarray) -> dict[str, np.ndarray]:
    size = engine.input.shape[0] or len(images)
    parts = [engine.run(images[start : start + size]) for start in range(0, len(images), size)]
    looks = [name for name, value in parts[0].items() if value.ndim]
    return {name: np.concatenate([part[name] for part in parts]) for name in looks}


def _captions(
    interface: ModelInterface, outputs: Mapping[str, np.ndarray], labels: np.ndarray
) -> dict[str, Any]:
    """What the task says of each image: a class and its probability, labels, or values."""
    picked = answers.chosen(interface, outputs)
    if picked is not None and interface.task != "multilabel":
        shares = answers.probabilities(interface, outputs)
        known = all(label >= 0 for label in labels)
        best = None if shares is None else np.take_along_axis(shares, np.array(picked), 1)[:, 0]
        return {
            "classes": [answers.class_name(interface, index) for (index,) in picked],
            "probabilities": best,
            "labels": [answers.class_name(interface, i) for i in labels] if known else None,
        }
    if picked is not None:
        names = [[answers.class_name(interface, i) for i in indices] for indices in picked]
        return {"captions": [", ".join(some) or "none" for some in names]}
    if interface.task != "regression":
        return {}
    texts = ["" for _ in labels]
    for name in interface.own_outputs:
        values = outputs.get(name)
        if values is not None and len(values) == len(labels) and values.dtype.kind in "biufV":
            rows = answers.plain(values).reshape(len(values), -1)
            for index, row in enumerate(rows):
                told = " ".join(f"{value:.3g}" for value in row[:_MOST_VALUES])
                texts[index] += f"{name} {told}{' …' if len(row) > _MOST_VALUES else ''}  "
    return {"captions": [text.strip() for text in texts]}


def _drawn(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels / np.float32(255), 0.0, 1.0)


def _crops(sampler: Sampler, crops: np.ndarray, spec: InputSpec) -> np.ndarray:
    if sampler.reads_images and crops.shape[-1] == spec.channels:
        return _drawn(answers.channels_last(spec).to_pixels(crops))
    # Feature maps have no black and white: the first is drawn, between its own ends.
    first = answers.plain(crops)[..., :1]
    least = first.min(axis=(-3, -2, -1), keepdims=True)
    extent = first.max(axis=(-3, -2, -1), keepdims=True) - least
    return np.asarray((first - least) / np.where(extent > 0, extent, 1), np.float32)


def _corners(sampler: Sampler, corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The corners in pixels of the image, also of a transformer that reads feature maps of it."""
    known = sampler.input_size if None not in sampler.input_size else size
    if sampler.reads_images or tuple(known) == size:
        return corners
    scale = np.array(size[::-1], np.float32) / np.array(known[::-1], np.float32)
    return np.asarray((corners + 0.5) * scale - 0.5, np.float32)


def _grid_pixels(
    sampler: Sampler, theta: np.ndarray, size: tuple[int, int], crop: Sequence[int]
) -> np.ndarray | None:
    """`[N, h, w, 2]` or `[N, K, h, w, 2]`: where the sampler reads, (x, y) in pixels.

    None for a transform that stn-tf does not know: its name, its options or its theta is another.
    """
    from stn_tf.geometry import get_transform

    try:
        transform = get_transform(sampler.transform, **sampler.options)
        theta = np.asarray(theta, np.float32)
        grid = transform.grid(theta, crop, align_corners=sampler.align_corners).numpy()
    except (ValueError, TypeError):
        return None
    extent = np.array(size[::-1], np.float32)
    if sampler.align_corners:
        pixels: np.ndarray = (grid + 1) / 2 * (extent - 1)
    else:
        pixels = ((grid + 1) * extent - 1) / 2
    return pixels
