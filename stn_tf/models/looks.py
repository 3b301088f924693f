"""Several looks at an image, the whole and the crops of transformers, as one vector of features."""

import dataclasses
from collections.abc import Callable

import keras

from stn_tf.layers import SpatialTransformer
from stn_tf.layers.constraints import Constraint
from stn_tf.models.localisation import (
    initial_theta,
    localisation_head,
    salient_localisation,
    small_localisation,
    start_at_region,
)


@dataclasses.dataclass(frozen=True)
class Looks:
    """What transformers look at.

    Attributes:
        count: How many there are, at least 1.
        transformation: A name of `stn_tf.geometry.TRANSFORMS`.
        size: Height and width of a crop, and of the whole image beside it, in pixels.
        scale: Where a crop's scale starts; attention keeps it. None for tiles of free scale.
        localisation: `small`; or what sees what a backbone sees of the whole image: `backbone`, or
            `salient`, which starts where its features are strong.
    """

    count: int
    transformation: str
    size: tuple[int, int]
    scale: float | None
    localisation: str


def look(
    images: keras.KerasTensor,
    looks: Looks,
    new_backbone: Callable[[str], keras.Model],
    *,
    share: bool,
    whole: bool,
) -> keras.KerasTensor:
    """Returns the features `[N, F]` of all looks, those of the whole image first.

    Args:
        images: `[N, H, W, C]` in 0..1.
        looks: What to look at.
        new_backbone: Returns another backbone of that name, for images of `looks.size`.
        share: Whether all looks go through one.
        whole: Whether the whole image is a look too.
    """
    names = (f"backbone_{index}" if index else "backbone" for index in range(looks.count + 1))
    pool = keras.layers.GlobalAveragePooling2D(name="pool")
    shared = new_backbone(next(names)) if share else None
    parts, seen = [], None
    if whole or (shared and looks.localisation != "small"):
        seen = (shared or new_backbone(next(names)))(_reduce(images, looks.size))
        if whole:
            parts.append(pool(seen))
    crops = _crops(images, looks, seen if share else None, new_backbone)
    if shared:
        parts.append(_shared_features(crops, looks, shared, pool))
    elif looks.count == 1:
        parts.append(pool(new_backbone(next(names))(crops)))
    else:
        parts += [
            pool(new_backbone(next(names))(keras.ops.take(crops, index, axis=1)))
            for index in range(looks.count)
        ]
    return parts[0] if len(parts) == 1 else keras.layers.Concatenate(name="features")(parts)


def _crops(
    images: keras.KerasTensor,
    looks: Looks,
    seen: keras.KerasTensor | None,
    new_backbone: Callable[[str], keras.Model],
) -> keras.KerasTensor:
    """The crops `[N, count, h, w, C]`, or of one transformer `[N, h, w, C]`."""
    features = None
    if looks.localisation == "small":
        localisation = small_localisation(images.shape[1:])
    elif seen is not None:
        # Where to look must not change what a shared backbone sees, and costs nothing backwards.
        localisation, features = _head(looks, seen), keras.ops.stop_gradient(seen)
    else:
        whole = keras.Input(images.shape[1:], name="images")
        own = new_backbone("localisation_backbone")(_reduce(whole, looks.size))
        localisation = keras.Model(whole, _head(looks, own, "head")(own), name="localisation")
    fixed: dict[str, Constraint] = {}
    if looks.scale is not None and looks.transformation == "attention":
        fixed["scale"] = looks.scale
    start = initial_theta(looks.transformation, looks.count, looks.scale)
    transformer = SpatialTransformer(
        localisation,
        looks.transformation,
        looks.size,
        constraints=fixed,
        initial_theta=start if looks.count > 1 else start[0],
        crops=looks.count if looks.count > 1 else None,
        name="spatial_transformer",
    )
    crops = transformer(images) if features is None else transformer(images, features=features)
    if looks.localisation == "salient":
        start_at_region(transformer, looks.transformation, looks.count)
    return crops


def _head(looks: Looks, seen: keras.KerasTensor, name: str = "localisation") -> keras.Model:
    if looks.localisation == "salient":
        return salient_localisation(seen.shape[1:], name=name)
    return localisation_head(name=name)


def _shared_features(
    crops: keras.KerasTensor, looks: Looks, backbone: keras.Model, pool: keras.layers.Layer
) -> keras.KerasTensor:
    if looks.count == 1:
        return pool(backbone(crops))
    # One batch of all crops: the backbone is computed once, and batch norm sees them together.
    one_each = keras.ops.reshape(crops, (-1, *looks.size, crops.shape[-1]))
    features = pool(backbone(one_each))
    return keras.ops.reshape(features, (-1, looks.count * features.shape[-1]))


def _reduce(images: keras.KerasTensor, size: tuple[int, int]) -> keras.KerasTensor:
    """The whole image at another size: averaged by a whole number, and read between that."""
    height, width = images.shape[1:3]
    pool = max(1, height // size[0]), max(1, width // size[1])
    if max(pool) > 1:
        images = keras.layers.AveragePooling2D(pool, name="reduce")(images)
    if images.shape[1:3] != size:
        # Less than two pixels of the averages to one here: bilinear reading skips none. The layer
        # Resizing (Keras 3.15) would have all layers after it train wherever nobody says whether
        # they do, as in model(images).
        images = keras.ops.image.resize(images, size)
    return images
