"""The grid and the sampler as a layer, for a theta that comes from elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from stn_tf import sampling, shape
from stn_tf.geometry import Transform
from stn_tf.layers import channels
from stn_tf.layers.saved_transform import load_transform, transform_config
from stn_tf.sampling import footprint
from stn_tf.sampling.grid_sample import KERNELS, PADDINGS
from stn_tf.sampling.warp import sample_crops

Shape: TypeAlias = tuple[int | None, ...]


@keras.saving.register_keras_serializable("stn_tf")
class Warp(keras.layers.Layer):
    """Warps images by theta; the layer has no weights.

    Args:
        transform: The family of theta: a name of `stn_tf.geometry.TRANSFORMS`, or a `Transform`.
        output_size: Height and width of the output in pixels (depth first for volumes); None
            for those of the input, which may be unknown until a graph runs.
        kernel: `bilinear`, `nearest` or `bicubic`.
        padding: `zeros`, `border` or `reflection`.
        align_corners: Whether -1 and 1 are centres of pixels rather than the image's edges.
        transform_options: The options of the transform: `control_points`, `regularisation`.
        antialias: K samples along each axis, averaged, spread over what an output pixel covers of
            the input: for transforms that shrink, up to K times. 1 samples once, as the paper.
        data_format: `channels_last` or `channels_first`, of images and output; None for
            `keras.config.image_data_format()`.

    Call: (images `[N, H, W, C]`, theta `[N, *theta]`) -> `[N, *output_size, C]`; K thetas an
    image, `[N, K, *theta]`, give `[N, K, *output_size, C]`. With `channels_first` C stands before
    the size. Under a mixed precision policy the images are halved, theta and the grid stay
    float32.

    With `antialias`, an output pixel that reads at p is the mean of K^2 samples (K^3 of volumes) at
    p + sum_a o_a f_a J_a: J_a is the change of p over the pixel along output axis a, s_a its length
    in input pixels, o_a the centres of K equal parts of [-1/2, 1/2], and
    f_a = sqrt(max(0, 1 - 1 / s_a^2)), a constant in gradients. Where nothing shrinks it changes
    nothing, and it never changes the grid.

    Raises:
        ValueError: If a choice, a number or the size is wrong.

    Source: Jaderberg et al. 2015, sections 3.2 and 3.3; `stn_tf.sampling.footprint`.
    """

    def __init__(
        self,
        transform: str | Transform = "affine",
        output_size: Sequence[int] | None = None,
        *,
        kernel: str = "bilinear",
        padding: str = "zeros",
        align_corners: bool = False,
        antialias: int = 1,
        transform_options: Mapping[str, Any] | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.transform = load_transform(transform, transform_options)
        self.output_size: tuple[int, ...] | None = None
        if output_size is not None:
            self.output_size = shape.check_size(
                "output_size", output_size, self.transform.dimensions
            )
        self.kernel = shape.check_choice("kernel", kernel, KERNELS)
        self.padding = shape.check_choice("padding", padding, PADDINGS)
        self.align_corners = bool(align_corners)
        self.antialias = shape.check_count("antialias", antialias)
        self.data_format = channels.check_data_format(data_format)

    def grid(self, theta: tf.Tensor, input_size: Sequence[int] | tf.Tensor) -> tf.Tensor:
        """Returns the sampling grid `[N, *size, d]` for images of `input_size`."""
        size = input_size if self.output_size is None else self.output_size
        return self.transform.grid(theta, size, align_corners=self.align_corners)

    def points(self, theta: tf.Tensor, input_size: Sequence[int] | tf.Tensor) -> tf.Tensor:
        """Returns all points that are read: the grids of all samples, one below the other."""
        size = input_size if self.output_size is None else self.output_size
        spread = (size, input_size, self.align_corners, self.antialias)
        return tf.concat(footprint.grids(self.transform, theta, *spread), axis=1)

    def sample(self, images: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
        """Returns images, channels last, at the points of a grid, a sample each."""
        return sample_crops(
            tf.cast(images, self.compute_dtype),
            grid,
            kernel=self.kernel,
            padding=self.padding,
            align_corners=self.align_corners,
        )

    def show(self, images: tf.Tensor, theta: tf.Tensor) -> tf.Tensor:
        """Returns images, channels last, as theta shows them; there may be no grid in memory."""
        return sampling.warp(
            tf.cast(images, self.compute_dtype),
            theta,
            channels.size_of(images) if self.output_size is None else self.output_size,
            transform=self.transform,
            kernel=self.kernel,
            padding=self.padding,
            align_corners=self.align_corners,
            antialias=self.antialias,
        )

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        images, theta = inputs
        shown = self.show(channels.to_last(images, self.data_format), theta)
        return channels.from_last(shown, self.data_format, self.transform.dimensions)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        images, theta = input_shape
        batch, *size, channel = channels.last_shape(
            images, self.data_format, self.transform.dimensions
        )
        crops = theta[1 : len(theta) - len(self.transform.theta_shape)]
        size = list(self.output_size or size)
        inner = [channel, *size] if self.data_format == channels.FIRST else [*size, channel]
        return (batch, *crops, *inner)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("autocast", None)
        return {
            **config,
            **transform_config(self.transform),
            "output_size": self.output_size,
            "kernel": self.kernel,
            "padding": self.padding,
            "align_corners": self.align_corners,
            "antialias": self.antialias,
            "data_format": self.data_format,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Warp":
        # Files that do not say so were written when there was nothing else.
        return cls(**{"data_format": channels.LAST, **config})
