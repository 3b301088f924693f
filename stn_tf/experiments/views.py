"""Where transformers look in some images, in pixels, for pictures."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.geometry import corners_pixels
from stn_tf.interface import InputSpec, ModelInterface
from stn_tf.layers import record_transformations
from stn_tf.layers.recording import Transformation
from stn_tf.sampling.choice import preferred_sampler
from stn_tf.sampling.warp import sample_crops

# What is left of the variance where a transformer reads the image itself, scaled or normalised.
_UNEXPLAINED = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """What one transformer reads of an image.

    Attributes:
        name: Of its layer.
        of_image: Whether it reads the image itself, and not what other layers made of it.
        read: What it reads: `[H, W, 1 or 3]` in 0..1.
        corners: `[K, 4, 2]` in pixels of it, as `geometry.corners_pixels` has them.
        grids: `[K, h, w, 2]` in pixels of it.
        crops: `[K, h, w, 1 or 3]` in 0..1.
    """

    name: str
    of_image: bool
    read: np.ndarray
    corners: np.ndarray
    grids: np.ndarray
    crops: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """An image as it is drawn.

    A volume is drawn as its mean along depth, brightest where it is most, and what is read of it
    as that of the crop; corners and grid are those of the crop's middle slice, seen from the front.

    Attributes:
        image: `[H, W, 1 or 3]` in 0..1; None where the model takes something else.
        views: Of the transformers, in the order of their calls.
        flattened: Whether it is of a volume.
    """

    image: np.ndarray | None
    views: tuple[View, ...]
    flattened: bool = False


def picture_images(model: keras.Model, inputs: Any, interface: ModelInterface) -> list[Picture]:
    """Shows what the transformers of a model read of some images.

    Args:
        model: A model.
        inputs: A batch as it takes it.
        interface: What it takes.

    Returns:
        A picture of each. Transformers that see several pictures of an image in one batch are left
        out.
    """
    count = len(tf.nest.flatten(inputs)[0])
    images = drawn_images(inputs, interface)
    with preferred_sampler(), record_transformations() as records:
        model(inputs, training=False)
    seen = [record for record in records if len(record.images) == count]
    views = [_views(record, images) for record in seen]
    flattened = any(record.layer.transform.dimensions == 3 for record in seen) or any(
        spec.is_volume for spec in interface.inputs
    )
    return [
        Picture(
            None if images is None else images[row],
            tuple(several[row] for several in views),
            flattened,
        )
        for row in range(count)
    ]


def drawn_images(inputs: Any, interface: ModelInterface) -> np.ndarray | None:
    """Returns a batch of a model's only input as images `[N, H, W, 1 or 3]` in 0..1.

    Where it is not known what black and white are, they are each image's own darkest and brightest
    value; likewise of volumes, which are flattened along depth. None if the input is neither.
    """
    if len(interface.inputs) != 1:
        return None
    spec = interface.inputs[0]
    values = np.asarray(inputs)
    if spec.is_volume and values.ndim == 5:
        return _stretched(_channels_last(values, spec).mean(axis=1))
    if not spec.is_image or values.ndim != 4:
        return None
    if spec.decodable:
        return np.asarray(np.clip(spec.to_pixels(values) / np.float32(255), 0.0, 1.0))
    return _stretched(_channels_last(values, spec))


def _views(record: Transformation, images: np.ndarray | None) -> list[View]:
    layer = record.layer
    read = record.images.numpy().astype(np.float32)
    theta, grid, crops = record.theta.numpy(), record.grid.numpy(), record.crops.numpy()
    if layer.crops is None:
        theta, grid, crops = theta[:, None], grid[:, None], crops[:, None]
    size, align_corners = read.shape[1:-1], layer.align_corners
    corners = corners_pixels(
        theta, size, transform=layer.transform, align_corners=align_corners
    ).numpy()
    volumes = layer.transform.dimensions == 3
    if volumes:
        # Of the middle slice, what its maps to (x, y) are.
        corners = (corners[..., :4, :2] + corners[..., 4:, :2]) / 2
        grid = grid[:, :, grid.shape[2] // 2, ..., :2]
        read, crops = _stretched(read.mean(axis=1)), crops.astype(np.float32).mean(axis=2)
    of_image = images is not None and _is_same(read, images)
    shown = images if of_image and images is not None else _stretched(read)
    if volumes:
        drawn = _stretched(crops.reshape(-1, *crops.shape[2:])).reshape(*crops.shape[:-1], -1)
    else:
        sampled = tf.constant(shown), tf.constant(grid)
        semantics = {"padding": layer.padding, "align_corners": align_corners}
        drawn = np.clip(sample_crops(*sampled, kernel=layer.kernel, **semantics).numpy(), 0, 1)
    parts = shown, corners, _in_pixels(grid, shown.shape[1:3], align_corners), drawn
    return [View(layer.name, of_image, *row) for row in zip(*parts, strict=True)]


def _in_pixels(grid: np.ndarray, size: Sequence[int], align_corners: bool) -> np.ndarray:
    extent = np.array(size[::-1], np.float32)
    if align_corners:
        return np.asarray((grid + 1) / 2 * (extent - 1))
    return np.asarray(((grid + 1) * extent - 1) / 2)


def _is_same(read: np.ndarray, images: np.ndarray) -> bool:
    """Whether what a layer reads is the images, each channel scaled and shifted or not."""
    if read.shape != images.shape:
        return False
    for channel in range(images.shape[-1]):
        seen, there = (values[..., channel].ravel().astype(np.float64) for values in (read, images))
        seen, there = seen - seen.mean(), there - there.mean()
        slope = (seen @ there) / max(float(there @ there), 1e-12)
        rest = seen - slope * there
        if rest @ rest > _UNEXPLAINED * max(float(seen @ seen), 1e-6):
            return False
    return True


def _channels_last(values: np.ndarray, spec: InputSpec) -> np.ndarray:
    return np.moveaxis(values, 1, -1) if spec.layout in ("NCHW", "NCDHW") else values


def _stretched(values: np.ndarray) -> np.ndarray:
    """Between each image's own ends; other channels than of an image are averaged."""
    values = values.astype(np.float32)
    if values.shape[-1] not in (1, 3):
        values = values.mean(axis=-1, keepdims=True)
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    low = values.min(axis=(1, 2, 3), keepdims=True)
    extent = values.max(axis=(1, 2, 3), keepdims=True) - low
    return np.asarray((values - low) / np.where(extent > 0, extent, 1))
