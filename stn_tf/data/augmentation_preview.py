"""Some of a part's images as evaluation and as training sees them, to look at."""

import dataclasses

import numpy as np
import tensorflow as tf

from stn_tf.data import keys
from stn_tf.data.augmentation import Augmentation
from stn_tf.data.collection import Part
from stn_tf.data.decoded_images import DecodedImages
from stn_tf.interface import InputSpec

# What a seed is used for; not what training uses, so that what is shown was not seen before.
_PREVIEW, _MIXING = 20, 21


@dataclasses.dataclass(frozen=True, eq=False)
class Preview:
    """Images and what became of them.

    Attributes:
        names: Of each image.
        labels: int32 `[R]`, indices into the classes.
        originals: uint8 `[R, H, W, C]`, as a server sees them.
        versions: float32 `[R, V, H, W, C]` in 0..1, as training sees them.
    """

    names: tuple[str, ...]
    labels: np.ndarray
    originals: np.ndarray
    versions: np.ndarray


def preview(
    part: Part,
    spec: InputSpec,
    augmentation: Augmentation,
    *,
    images: int = 6,
    versions: int = 6,
    seed: int = 0,
) -> Preview:
    """Returns images from all classes, as far as they go, each in several versions.

    Where images are mixed, those of neighbouring rows are, as neighbours of a batch are in
    training.

    Args:
        part: The images.
        spec: The model's input; of a fixed size.
        augmentation: What is drawn.
        images: How many images, or all if there are fewer.
        versions: How often each.
        seed: Another has other images and versions.

    Raises:
        ValueError: If there is no image, or a number is below 1.
        DataError: If one of them cannot be decoded.
    """
    if not len(part) or images < 1 or versions < 1:
        raise ValueError(
            "`images` and `versions` must be at least 1, and `part` must hold an image, but they "
            f"are {images}, {versions} and {len(part)}."
        )
    chosen = _chosen(part.labels, images, seed)
    originals = DecodedImages(part, spec, cache="none").pixels(chosen)
    kept = DecodedImages(part, spec, cache="none", oversample=augmentation.oversample)
    stored = kept.pixels(chosen)
    height, width = originals.shape[1:3]
    count = len(chosen)
    shown = np.empty((count, versions, *originals.shape[1:]), np.float32)
    mixing = augmentation.mixing()
    even = count - count % 2
    for version in range(versions):
        key = keys.fold(keys.make_key(seed, _PREVIEW), version)
        drawn = augmentation.draw(key, count)
        seen = augmentation.apply(tf.constant(stored), drawn, (height, width)).numpy()
        if mixing is not None and even:
            key = keys.fold(keys.make_key(seed, _MIXING), version)
            seen[:even] = mixing(key, 0, seen[:even], tf.zeros([even, 1]))[0]
        shown[:, version] = seen
    names = tuple(str(part.names[int(index)]) for index in chosen)
    return Preview(names, part.labels[chosen], originals, shown)


def _chosen(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Numbers of images, from as many classes as can be, in the order of the classes."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(labels))
    # Each image's place among those of its class.
    by_class = order[np.argsort(labels[order], kind="stable")]
    starts = np.searchsorted(labels[by_class], labels[by_class], side="left")
    place = np.arange(len(labels)) - starts
    first = by_class[np.lexsort((random.permutation(len(labels)), place))][:count]
    return first[np.argsort(labels[first], kind="stable")]
