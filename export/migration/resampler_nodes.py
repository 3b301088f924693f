"""Compiled samplers in a TensorFlow graph, and the functions of stock operations for their places.

`Addons>Resampler` and its forerunner of TensorFlow 1, `Resampler`, take points in pixels; our own
`StnTf>GridSample` and `StnTf>Warp` take normalised ones, or theta.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.core.framework import function_pb2, node_def_pb2

from stn_tf.errors import ExportError
from stn_tf.export.tensorflow.functions import ConcreteFunction
from stn_tf.sampling import grid_sample, native_sampler, warp
from stn_tf.sampling.grid_sample import IMPLEMENTS

RESAMPLERS = ("Addons>Resampler", "Resampler")
SAMPLERS = (*RESAMPLERS, "StnTf>GridSample", "StnTf>Warp")
GRADIENTS = tuple(f"{name}Grad" for name in SAMPLERS)

# With corners not aligned every pixel coordinate has a normalised one, also where the image is one
# pixel wide; with bilinear and zeros the two conventions read the same.
_SEMANTICS = {"kernel": "bilinear", "padding": "zeros", "align_corners": False}


class Sampler(NamedTuple):
    """A compiled sampler as it stands in a graph: equal ones share a function.

    Attributes:
        op: One of `SAMPLERS`.
        dtype: That of the images, and of what is read from them.
        points: That of the points or theta.
        images_shape: Its batch is None, as is every dimension that is not known.
        points_shape: The same of the points or theta; None where not even its rank is known.
        options: The attributes of our own operations, sorted.
    """

    op: str
    dtype: tf.DType
    points: tf.DType
    images_shape: tuple[int | None, ...]
    points_shape: tuple[int | None, ...] | None
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """A name that no other function has, here or in any process that loads it."""
        text = json.dumps([str(part) for part in self])
        kind = self.op.replace(">", "_").lower()
        return f"stn_tf_migrated_{kind}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    @property
    def output_shape(self) -> tf.TensorShape:
        """What is known of the shape of the samples."""
        channels = self.images_shape[-1]
        if self.op == "StnTf>Warp":
            options = dict(self.options)
            return tf.TensorShape([None, options["height"], options["width"], channels])
        if self.points_shape is None:
            return tf.TensorShape(None)
        return tf.TensorShape([*self.points_shape[:-1], channels])


def sampler_of(
    node: node_def_pb2.NodeDef, images: tf.TensorShape, points: tf.TensorShape
) -> Sampler:
    """Returns what a node of one of the `SAMPLERS` is.

    Raises:
        ExportError: If it is one of ours whose images have an unknown rank.
    """
    dtype = tf.as_dtype(node.attr["T"].type)
    options = []
    if node.op in RESAMPLERS:
        images = images if images.rank is not None else tf.TensorShape([None] * 4)
    else:
        for name in sorted(set(node.attr) & {"kernel", "padding", "transform"}):
            options.append((name, node.attr[name].s.decode()))
        options.append(("align_corners", node.attr["align_corners"].b))
        if node.op == "StnTf>Warp":
            options += [(name, node.attr[name].i) for name in ("height", "width")]
        if images.rank is None or points.rank is None:
            raise ExportError(
                f"`{node.name}` must sample images of a known rank, but the SavedModel does not "
                "tell it. Save the model again under `stn_tf.native_sampler(False)`."
            )
    return Sampler(
        node.op,
        dtype,
        tf.as_dtype(node.attr["P"].type) if "P" in node.attr else dtype,
        _free_batch(images),
        None if points.rank is None else _free_batch(points),
        tuple(options),
    )


def traced(sampler: Sampler) -> ConcreteFunction:
    """Returns the same in stock operations: images and points -> samples."""

    def sample(images: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
        with native_sampler(False):
            if sampler.op in RESAMPLERS:
                return resample(images, points)
            function = warp if sampler.op == "StnTf>Warp" else grid_sample
            options = dict(sampler.options)
            if function is warp:
                options["size"] = (options.pop("height"), options.pop("width"))
            return function(images, points, **options)

    specs = [
        tf.TensorSpec(sampler.images_shape, sampler.dtype),
        tf.TensorSpec(sampler.points_shape, sampler.points),
    ]
    return tf.function(sample, input_signature=specs, autograph=False).get_concrete_function()


def definitions(sampler: Sampler) -> Iterator[function_pb2.FunctionDef]:
    """Yields the functions to add to a library, the first being `sampler.name`."""
    outer = traced(sampler)
    inner = outer.graph.as_graph_def(add_shapes=True).library.function
    names = {outer.function_def.signature.name: sampler.name}
    names |= {f.signature.name: f"{sampler.name}_{i}" for i, f in enumerate(inner)}
    for function in (outer.function_def, *inner):
        made = function_pb2.FunctionDef()
        made.CopyFrom(function)
        made.signature.name = names[made.signature.name]
        for node in made.node_def:
            for value in node.attr.values():
                if value.func.name in names:
                    value.func.name = names[value.func.name]
        yield made


def resample(images: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """Returns what `tfa.image.resampler` does, around one function that exporters find.

    Convention: points are (x, y) in pixels, 0 being the centre of the first; outside is zero.

    Args:
        images: `[N, H, W, C]`.
        pixels: `[N, ..., 2]`, in the dtype of `images`.
    """
    sizes = tf.stack([_size(images, 2), _size(images, 1)])
    # In float64, so that the way to normalised points and back gives the same float32 pixels.
    extent = tf.cast(sizes, tf.float64)
    grid = (2.0 * tf.cast(pixels, tf.float64) + 1.0) / extent - 1.0
    grid.set_shape(pixels.shape)
    annotated = tf.function(
        _bilinear,
        autograph=False,
        experimental_implements=f"{IMPLEMENTS} {json.dumps(_SEMANTICS)}",
    )
    if grid.shape.rank == 4:
        return annotated(images, grid)
    if grid.shape.rank == 3:
        return annotated(images, grid[:, tf.newaxis])[:, 0]
    shape = tf.shape(grid)
    plane = tf.stack([shape[0], 1, tf.reduce_prod(shape[1:-1]), 2])
    samples = annotated(images, tf.reshape(grid, plane))
    return tf.reshape(samples, tf.concat([shape[:-1], tf.shape(images)[-1:]], 0))


def _bilinear(images: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
    """`grid_sample` with `_SEMANTICS`, in the order of operations that the compiled one has."""
    compute = tf.float64 if images.dtype == tf.float64 else tf.float32
    shape = tf.shape(images)
    axes = []
    for axis in (1, 2):
        extent = tf.cast(_size(images, axis), tf.float64)
        place = ((grid[..., 2 - axis] + 1.0) * extent - 1.0) / 2.0
        last = tf.cast(extent - 1.0, compute)
        # NaN and what is far away read as outside.
        place = tf.clip_by_value(place, tf.cast(-2.0, tf.float64), extent + 1.0)
        place = tf.where(tf.math.is_nan(place), tf.cast(-2.0, tf.float64), place)
        place = tf.cast(place, compute)
        low = tf.floor(place)
        weight = place - tf.stop_gradient(low)
        taps = []
        for at, share in ((low, 1.0 - weight), (low + 1.0, weight)):
            share = tf.where((at >= 0.0) & (at <= last), share, tf.zeros_like(share))
            taps.append((tf.cast(tf.clip_by_value(at, 0.0, last), tf.int32), share))
        axes.append(taps)
    rows = tf.reshape(images, tf.stack([shape[0], shape[1] * shape[2], shape[3]]))
    total = tf.constant(0.0, compute)
    for y, y_share in axes[0]:
        for x, x_share in axes[1]:
            values = tf.cast(tf.gather(rows, y * shape[2] + x, batch_dims=1), compute)
            total += (y_share * x_share)[..., tf.newaxis] * values
    output = tf.cast(total, images.dtype)
    output.set_shape([*grid.shape[:-1], images.shape[-1]])
    return output


def _size(images: tf.Tensor, axis: int) -> int | tf.Tensor:
    size = images.shape[axis]
    return tf.shape(images)[axis] if size is None else size


def _free_batch(shape: tf.TensorShape) -> tuple[int | None, ...]:
    """Without the batch size, of which the function around may know more than its callers do."""
    return (None, *shape.as_list()[1:])
