"""The fastest stock TensorFlow operations that sample exactly as a warp by matrices does.

For inference: they have no gradient for theta. Which of them pays was measured by
benchmarks/stock_samplers.py.
"""

import tensorflow as tf
from tensorflow.core.framework import function_pb2

from stn_tf.export.tensorflow.functions import ConcreteFunction
from stn_tf.export.tensorflow.sampler_nodes import SamplerFunction, with_bodies

# ImageProjectiveTransform computes every channel's weights anew: with more channels the gathers
# are about as fast (8) or faster (16).
_PROJECTIVE_CHANNELS = 6
# Where a point is no number, and nearer to 0 than this a depth, the point reads far outside.
_OUTSIDE = 1e6
_HORIZON = 1e-6


def with_stock_samplers(function: ConcreteFunction) -> ConcreteFunction:
    """Returns the same concrete function with stock operations in place of gathers, where they
    compute the same: bilinear and zeros, in float32, of images whose size is known.
    """
    return with_bodies(function, _body)


def _body(sampler: SamplerFunction) -> function_pb2.FunctionDef | None:
    images, matrix = sampler.argument_shape(0), sampler.argument_shape(1)
    spec = sampler.spec
    fits = (
        sampler.transform is not None
        and (spec.kernel, spec.padding) == ("bilinear", "zeros")
        and sampler.argument_dtype(0) == sampler.argument_dtype(1) == tf.float32
        and images[1:].is_fully_defined()
    )
    if not fits:
        return None
    if sampler.transform == "attention":
        sample = _crop_and_resize
    elif images[-1] <= _PROJECTIVE_CHANNELS:
        sample = projective_transform
    else:
        return None

    def body(images: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
        return sample(images, matrix, spec.size, spec.align_corners)

    specs = [tf.TensorSpec(images, tf.float32), tf.TensorSpec(matrix, tf.float32)]
    made = tf.function(body, input_signature=specs, autograph=False).get_concrete_function()
    proto = function_pb2.FunctionDef()
    proto.CopyFrom(made.function_def)
    # Found again, as one unit, in the SavedModel.
    proto.attr["_implements"].CopyFrom(sampler.function.attr["_implements"])
    return proto


def _crop_and_resize(
    images: tf.Tensor, matrix: tf.Tensor, size: tuple[int, ...], align_corners: bool
) -> tf.Tensor:
    """An upright window. Padded by a pixel of zeros, for it blanks what lies half outside."""
    boxes = []
    for axis, length in enumerate(size):  # y, then x.
        row = 1 - axis
        scale, shift = matrix[:, row, row], matrix[:, row, 2]
        pixels = images.shape[1 + axis]
        edge = 1.0 if align_corners else 1.0 - 1.0 / length
        edge = 0.0 if length == 1 else edge
        ends = []
        for sign in (-1.0, 1.0):
            point = shift + sign * edge * scale
            if align_corners:
                place = (point + 1.0) * (0.5 * (pixels - 1))
            else:
                place = ((point + 1.0) * pixels - 1.0) * 0.5
            # Boxes are in units of the padded image, between the centres of its outermost pixels.
            ends.append((place + 1.0) / (pixels + 1.0))
        boxes.append(ends)
    (top, bottom), (left, right) = boxes
    box = tf.stack([top, left, bottom, right], axis=-1)
    box = tf.where(tf.math.is_finite(box), tf.clip_by_value(box, -_OUTSIDE, _OUTSIDE), -_OUTSIDE)
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    return tf.raw_ops.CropAndResize(
        image=padded, boxes=box, box_ind=tf.range(tf.shape(images)[0]), crop_size=list(size)
    )


def projective_transform(
    images: tf.Tensor, matrix: tf.Tensor, size: tuple[int, ...], align_corners: bool
) -> tf.Tensor:
    """Any matrix, as a map from the output's pixels to the input's."""
    if matrix.shape.rank == 2:
        entries = tf.unstack(matrix, axis=-1)
        rows = [entries[0:3], entries[3:6], [*entries[6:8], tf.ones_like(entries[0])]]
    else:
        one = tf.ones_like(matrix[:, 0, 0])
        rows = [tf.unstack(matrix[:, row], axis=-1) for row in range(2)]
        rows.append([tf.zeros_like(one), tf.zeros_like(one), one])
    # Output pixels -> normalised points, on the right.
    steps = [_step(length, align_corners) for length in size[::-1]]
    (x_step, x_first), (y_step, y_first) = steps
    rows = [[a * x_step, b * y_step, c + a * x_first + b * y_first] for a, b, c in rows]
    # Normalised points -> input pixels, on the left.
    depth = rows[2]
    for axis, pixels in enumerate((images.shape[2], images.shape[1])):
        half = 0.5 * (pixels - 1 if align_corners else pixels)
        middle = 0.5 * (pixels - 1)
        rows[axis] = [half * a + middle * d for a, d in zip(rows[axis], depth, strict=True)]
    last = depth[2]
    last = tf.where(tf.abs(last) < _HORIZON, tf.fill(tf.shape(last), _HORIZON), last)
    flat = [entry / last for entry in (*rows[0], *rows[1], depth[0], depth[1])]
    transforms = tf.stack(flat, axis=-1)
    good = tf.reduce_all(tf.math.is_finite(transforms), axis=-1, keepdims=True)
    outside = tf.constant([0, 0, -_OUTSIDE, 0, 0, -_OUTSIDE, 0, 0], tf.float32)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.where(good, transforms, outside),
        output_shape=tf.constant(size, tf.int32),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _step(length: int, align_corners: bool) -> tuple[float, float]:
    """The distance of an output's pixels, and the first one, in normalised coordinates."""
    if not align_corners:
        return 2.0 / length, 1.0 / length - 1.0
    return (2.0 / (length - 1), -1.0) if length > 1 else (0.0, 0.0)
