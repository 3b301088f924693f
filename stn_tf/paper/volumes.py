"""Extruded digits in volumes (appendix A.3), as a recipe for `fit`."""

import math
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from stn_tf.data import keys
from stn_tf.errors import ConfigError
from stn_tf.interface import ModelInterface
from stn_tf.paper.batch import Parameters
from stn_tf.paper.config import VOLUME_NETWORKS, VolumesConfig
from stn_tf.paper.digits_recipe import DigitsRecipe
from stn_tf.paper.distortions import in_memory
from stn_tf.paper.recipe import classifier_interface
from stn_tf.paper.source import Examples, Source

if TYPE_CHECKING:
    import keras

    from stn_tf.paper.pipeline import Scenes

# A line that runs along a face of the slab is as good as one that meets it very far away.
_PARALLEL = 1e-6


class VolumesRecipe(DigitsRecipe):
    """Makes volumes with an extruded digit somewhere, and networks that read them."""

    Config = VolumesConfig
    networks = VOLUME_NETWORKS

    def scenes(self, config: Any, examples: Examples, *, taught: bool) -> "Scenes":
        return ExtrudedDigits(
            examples, side=config.side, thickness=config.thickness, degrees=config.degrees
        )

    def interface(self, config: Any, source: Source) -> ModelInterface:
        from stn_tf.paper.volume_networks import LEAST_SIDE

        if config.side < LEAST_SIDE:
            raise ConfigError(
                f"`side` must be at least {LEAST_SIDE}, as the networks are made for, but it is "
                f"{config.side}. Take a larger one."
            )
        height, width = source.train.images.shape[1:3]
        slab = math.ceil(math.hypot(height, width, config.thickness))
        if config.side < slab:
            raise ConfigError(
                f"`side` must be at least {slab}, so that a slab of {width} x {height} x "
                f"{config.thickness} voxels fits in at any angle, but it is {config.side}. Take a "
                "larger one, or a smaller `thickness`."
            )
        return classifier_interface((*[config.side] * 3, 1), source.classes)

    def network(self, config: Any, interface: ModelInterface) -> "keras.Model":
        from stn_tf.paper.volume_networks import build_volume_network

        shape = [length for length in interface.inputs[0].shape[1:] if length is not None]
        return build_volume_network(
            config.model, shape, len(interface.class_names), crop_side=config.crop_side
        )


class ExtrudedDigits:
    """Digits as slabs, turned and put somewhere into a cube, with their labels.

    The value of a voxel is what trilinear sampling reads at its centre in a stack of `thickness`
    equal slices, with zeros around it: the digit, bilinear, times a box with soft ends.

    The paper says no more than that an extruded digit is somewhere in the volume. Without turning
    it, the sum along depth would be the digit, moved, and leave nothing to a transformer of
    volumes. So each is turned in its plane, tilted about the horizontal axis and then about the
    vertical one, each time by up to `degrees` to either side. The whole slab, with the paper around
    the digit, lies within the volume.

    Args:
        examples: Grey digits.
        side: Of the volume, in voxels; a voxel has the size of a pixel.
        thickness: Of the slab, in voxels.
        degrees: The largest of the three angles to either side.
    """

    def __init__(self, examples: Examples, *, side: int, thickness: int, degrees: float):
        self._count = len(examples)
        self._size = (int(examples.images.shape[1]), int(examples.images.shape[2]))
        self._side = side
        self._thickness = thickness
        self._largest = math.radians(degrees)
        self._images, self._labels = in_memory(examples.images), in_memory(examples.labels)

    def __len__(self) -> int:
        return self._count

    def draw(self, key: tf.Tensor, count: int) -> Parameters:
        """Draws `rotation` `[n, 3, 3]`, from the digit's (x, y, z) to the volume's, and `shift`
        `[n, 3]`, the way from the volume's centre to the slab's in voxels."""
        angle_key, shift_key = keys.split(key, 2)
        angles = keys.uniform(angle_key, (count, 3), -self._largest, self._largest)
        turned, tilted, panned = (
            _rotation(angles[:, number], axis) for number, axis in enumerate((2, 0, 1))
        )
        rotation = panned @ tilted @ turned
        height, width = self._size
        halves = tf.constant([[width], [height], [self._thickness]], tf.float32) / 2.0
        room = tf.maximum(0.0, self._side / 2.0 - (tf.abs(rotation) @ halves)[..., 0])
        shift = keys.uniform(shift_key, (count, 3), -1.0, 1.0) * room
        return {"rotation": rotation, "shift": shift}

    def make(self, parameters: Parameters, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns volumes float32 `[n, side, side, side, 1]` in 0..1, and labels int32 `[n]`."""
        images = tf.cast(tf.gather(self._images, indices)[..., 0], tf.float32) / 255.0
        labels = tf.gather(self._labels, indices)
        volumes = extruded(
            images, parameters["rotation"], parameters["shift"], self._thickness, self._side
        )
        volumes.set_shape([*indices.shape, *[self._side] * 3, 1])
        return volumes, labels


def extruded(
    images: tf.Tensor, rotation: tf.Tensor, shift: tf.Tensor, thickness: int, side: int
) -> tf.Tensor:
    """Returns volumes in which images stand as slabs.

    Only voxels that the ink reaches are computed, some 3 percent: in each row of voxels they are
    those between the two places where it enters and leaves a box around the ink. Of 32 digits that
    takes a tenth of what a warp of every slice does.

    Convention: (x, y, z) in voxels, depth last; voxel (0, 0, 0)'s centre is (0.0, 0.0, 0.0).

    Args:
        images: `[n, h, w]`, float32.
        rotation: `[n, 3, 3]`, from the slab's axes to the volume's.
        shift: `[n, 3]`, from the volume's centre to the slab's.
        thickness: Of the slab.
        side: Of the volume.

    Returns:
        `[n, side, side, side, 1]`, float32.
    """
    count, (height, width) = tf.shape(images)[0], images.shape[1:]
    along = tf.range(side, dtype=tf.float32)
    centre = shift + (side - 1) / 2.0
    middle = ((width - 1) / 2.0, (height - 1) / 2.0, 0.0)
    starts = []  # Of the rows, each `[n, side, side]`, depth first: where x is 0.
    first, last = tf.constant(0.0), tf.constant(side - 1.0)
    for axis, (low, high) in enumerate(_reach(images, thickness)):
        step = rotation[:, :, axis, tf.newaxis, tf.newaxis]
        start = middle[axis] - tf.reduce_sum(rotation[:, :, axis] * centre, -1)
        start = start[:, tf.newaxis, tf.newaxis] + along[:, tf.newaxis] * step[:, 2]
        start += along * step[:, 1]
        slope = tf.where(tf.abs(step[:, 0]) < _PARALLEL, _PARALLEL, step[:, 0])
        between = ((low + high)[:, tf.newaxis, tf.newaxis] / 2.0 - start) / slope
        half = (high - low)[:, tf.newaxis, tf.newaxis] / 2.0 / tf.abs(slope)
        first, last = tf.maximum(first, between - half), tf.minimum(last, between + half)
        starts.append(start)

    rows = tf.range(tf.cast(count, tf.int64) * side * side) * side
    enters = rows + tf.reshape(tf.cast(tf.math.ceil(first), tf.int64), [-1])
    leaves = rows + tf.reshape(tf.cast(tf.floor(last), tf.int64), [-1]) + 1
    voxels = tf.ragged.range(enters, tf.maximum(enters, leaves)).flat_values
    row = voxels // side
    number = row // (side * side)
    start = tf.gather(tf.reshape(tf.stack(starts, -1), [-1, 3]), row)
    step = tf.gather(rotation[:, 0], number)
    x_voxels = tf.cast(voxels - row * side, tf.float32)
    x, y, z = (start[:, axis] + x_voxels * step[:, axis] for axis in range(3))
    box = tf.clip_by_value((thickness + 1) / 2.0 - tf.abs(z), 0.0, 1.0)
    # One of stock's few operations that takes nanoseconds a value here.
    volumes = tf.raw_ops.SparseToDense(
        sparse_indices=voxels,
        output_shape=[tf.cast(count, tf.int64) * side**3],
        sparse_values=_between_pixels(images, number, x, y) * box,
        default_value=0.0,
        validate_indices=False,
    )
    return tf.reshape(volumes, [count, side, side, side, 1])


def _rotation(angle: tf.Tensor, axis: int) -> tf.Tensor:
    """Returns `[n, 3, 3]`: rotations by angles `[n]`, in radians, about an axis."""
    cosine, sine = tf.cos(angle), tf.sin(angle)
    zero, one = tf.zeros_like(angle), tf.ones_like(angle)
    rows = {
        0: ((one, zero, zero), (zero, cosine, -sine), (zero, sine, cosine)),
        1: ((cosine, zero, sine), (zero, one, zero), (-sine, zero, cosine)),
        2: ((cosine, -sine, zero), (sine, cosine, zero), (zero, zero, one)),
    }[axis]
    return tf.stack([tf.stack(row, -1) for row in rows], 1)


def _reach(images: tf.Tensor, thickness: int) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Between which x, y and z the ink of each slab is more than nothing."""
    ink = images > 0.0
    ends = []
    for axis in (1, 2):
        there = tf.cast(tf.reduce_any(ink, axis=axis), tf.float32)
        low = tf.cast(tf.argmax(there, 1), tf.float32) - 1.0
        high = there.shape[1] - tf.cast(tf.argmax(there[:, ::-1], 1), tf.float32)
        ends.append((low, high))
    deep = tf.fill(tf.shape(images)[:1], (thickness + 1) / 2.0)
    return [*ends, (-deep, deep)]


def _between_pixels(images: tf.Tensor, number: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """Reads points of images `[n, h, w]`, with zeros around them: of image `number`, at (x, y)."""
    height, width = images.shape[1:]
    # The four pixels around a point beside each other: one gather takes them at once.
    ringed = tf.pad(images, [[0, 0], [1, 1], [1, 1]])
    corners = (ringed[:, :-1, :-1], ringed[:, :-1, 1:], ringed[:, 1:, :-1], ringed[:, 1:, 1:])
    # Rounding may carry a point out by a hair.
    x, y = tf.clip_by_value(x, -1.0, width), tf.clip_by_value(y, -1.0, height)
    left, top = tf.minimum(tf.floor(x), width - 1.0), tf.minimum(tf.floor(y), height - 1.0)
    place = (number * (height + 1) + tf.cast(top, tf.int64) + 1) * (width + 1)
    place += tf.cast(left, tf.int64) + 1
    table = tf.reshape(tf.stack(corners, -1), [-1, 4])
    upper_left, upper_right, lower_left, lower_right = tf.unstack(tf.gather(table, place), axis=1)
    x, y = x - left, y - top
    upper = upper_left + (upper_right - upper_left) * x
    lower = lower_left + (lower_right - lower_left) * x
    return upper + (lower - upper) * y
