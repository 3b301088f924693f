"""The grid and the sampler as a layer, for a theta that comes from elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from stn_tf import sampling, shape
from stn_tf.geometry import Transform, get_transform
from stn_tf.sampling.grid_sample import KERNELS, PADDINGS


@keras.saving.register_keras_serializable("stn_tf")
class Warp(keras.layers.Layer):
    """Warps images by theta; the layer has no weights.

    Args:
        transform: The family of theta: a name of `stn_tf.geometry.TRANSFORMS`.
        output_size: Height and width of the output in pixels (depth first for volumes); None
            for those of the input.
        kernel: `bilinear`, `nearest` or `bicubic`.
        padding: `zeros`, `border` or `reflection`.
        align_corners: Whether -1 and 1 are centres of pixels rather than the image's edges.
        transform_options: The options of the transform: `control_points`, `regularisation`.

    Call: (images `[N, H, W, C]`, theta `[N, *theta]`) -> `[N, *output_size, C]`. Under a mixed
    precision policy the images are halved, theta and the grid stay float32.

    Raises:
        ValueError: If a choice or the size is wrong.

    Source: Jaderberg et al. 2015, sections 3.2 and 3.3.
    """

    def __init__(
        self,
        transform: str | Transform = "affine",
        output_size: Sequence[int] | None = None,
        *,
        kernel: str = "bilinear",
        padding: str = "zeros",
        align_corners: bool = False,
        transform_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.transform = get_transform(transform, **(transform_options or {}))
        self.output_size: tuple[int, ...] | None = None
        if output_size is not None:
            self.output_size = shape.check_size(
                "output_size", output_size, self.transform.dimensions
            )
        self.kernel = shape.check_choice("kernel", kernel, KERNELS)
        self.padding = shape.check_choice("padding", padding, PADDINGS)
        self.align_corners = bool(align_corners)

    def grid(self, theta: tf.Tensor, input_size: Sequence[int | None]) -> tf.Tensor:
        """Returns the sampling grid `[N, *size, d]` for images of `input_size`."""
        size = self._size(input_size)
        return self.transform.grid(theta, size, align_corners=self.align_corners)

    def _size(self, input_size: Sequence[int | None]) -> tuple[int, ...]:
        size = self.output_size or tuple(length or 0 for length in input_size)
        if 0 in size:
            raise ValueError(
                "`output_size` must be given when the size of the images is not fixed, "
                f"but it is None and the images are {list(input_size)}."
            )
        return size

    def sample(self, images: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
        """Returns the images at the points of a grid."""
        return sampling.grid_sample(
            tf.cast(images, self.compute_dtype),
            grid,
            kernel=self.kernel,
            padding=self.padding,
            align_corners=self.align_corners,
        )

    def show(self, images: tf.Tensor, theta: tf.Tensor) -> tf.Tensor:
        """Returns the images as theta shows them; there may be no grid in memory."""
        return sampling.warp(
            tf.cast(images, self.compute_dtype),
            theta,
            self._size(images.shape[1:-1]),
            transform=self.transform,
            kernel=self.kernel,
            padding=self.padding,
            align_corners=self.align_corners,
        )

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        images, theta = inputs
        return self.show(images, theta)

    def compute_output_shape(
        self, input_shape: Sequence[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        images, _ = input_shape
        return (images[0], *(self.output_size or images[1:-1]), images[-1])

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("autocast", None)
        return {
            **config,
            "transform": self.transform.name,
            "transform_options": self.transform.options(),
            "output_size": self.output_size,
            "kernel": self.kernel,
            "padding": self.padding,
            "align_corners": self.align_corners,
        }
