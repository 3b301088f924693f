"""The gradients of the compiled operations, for TensorFlow."""

from typing import Any

import tensorflow as tf

from stn_tf.native import operations
from stn_tf.sampling import portable


def _wanted(op: Any, index: int) -> bool:
    """Whether anybody uses the gradient of an input; a tape knows, other callers may not."""
    return index not in (getattr(op, "skip_input_indices", None) or ())


def _attributes(op: Any, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: op.get_attr(name) for name in names}
    return {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in values.items()
    }


_SAMPLING = ("kernel", "padding", "align_corners")
_WARPING = (*_SAMPLING, "transform", "height", "width")


def _gradient(op: Any, upstream: tf.Tensor, backward: Any, names: tuple[str, ...]) -> list[Any]:
    images, points = op.inputs
    want_images, want_points = _wanted(op, 0), _wanted(op, 1)
    to_images, to_points = backward(
        images,
        points,
        upstream,
        want_images=want_images,
        want_points=want_points,
        **_attributes(op, names),
    )
    to_images.set_shape(images.shape if want_images else [0])
    to_points.set_shape(points.shape if want_points else [0])
    return [to_images if want_images else None, to_points if want_points else None]


@tf.RegisterGradient("StnTf>GridSample")
def _grid_sample_gradient(op: Any, upstream: tf.Tensor) -> list[Any]:
    return _gradient(op, upstream, operations().stn_tf_grid_sample_grad, _SAMPLING)


@tf.RegisterGradient("StnTf>Warp")
def _warp_gradient(op: Any, upstream: tf.Tensor) -> list[Any]:
    return _gradient(op, upstream, operations().stn_tf_warp_grad, _WARPING)


if hasattr(operations(), "addons_resampler"):

    @tf.RegisterGradient("Addons>Resampler")
    def _resampler_gradient(op: Any, upstream: tf.Tensor) -> list[Any]:
        return list(operations().addons_resampler_grad(*op.inputs, upstream))

    tf.no_gradient("Addons>ResamplerGrad")


@tf.RegisterGradient("StnTf>GridSampleGrad")
def _second_gradient(op: Any, to_images: tf.Tensor, to_grid: tf.Tensor) -> list[Any]:
    """Second derivatives come from the sampler in stock operations."""
    options = _attributes(op, _SAMPLING)

    def sample(images: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
        return portable.sample(
            images, grid, options["kernel"], options["padding"], options["align_corners"]
        )

    return _differentiate_again(op, sample, (to_images, to_grid))


@tf.RegisterGradient("StnTf>WarpGrad")
def _second_warp_gradient(op: Any, to_images: tf.Tensor, to_theta: tf.Tensor) -> list[Any]:
    from stn_tf.geometry import get_transform

    options = _attributes(op, _WARPING)
    family = get_transform(options["transform"])
    size = (options["height"], options["width"])

    def warp(images: tf.Tensor, theta: tf.Tensor) -> tf.Tensor:
        grid = family.grid(theta, size, align_corners=options["align_corners"])
        return portable.sample(
            images, grid, options["kernel"], options["padding"], options["align_corners"]
        )

    return _differentiate_again(op, warp, (to_images, to_theta))


def _differentiate_again(op: Any, function: Any, gradients: tuple[Any, Any]) -> list[Any]:
    images, points, upstream = op.inputs
    wanted = [op.get_attr("want_images"), op.get_attr("want_points")]
    with tf.GradientTape() as outer:
        outer.watch([images, points, upstream])
        with tf.GradientTape() as inner:
            inner.watch([images, points])
            output = function(images, points)
        first = inner.gradient(output, [images, points], upstream)
    targets = [gradient for gradient, want in zip(first, wanted, strict=True) if want]
    seeds = [gradient for gradient, want in zip(gradients, wanted, strict=True) if want]
    return outer.gradient(targets, [images, points, upstream], seeds)
