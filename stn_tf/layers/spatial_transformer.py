"""The spatial transformer: a layer that learns where to look."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from stn_tf.geometry import Transform
from stn_tf.layers import channels
from stn_tf.layers.constraints import Constraint
from stn_tf.layers.recording import Transformation, is_recording, note
from stn_tf.layers.theta_regression import ThetaRegression
from stn_tf.layers.warp import Shape, Warp


@keras.saving.register_keras_serializable("stn_tf")
class SpatialTransformer(keras.layers.Layer):
    """Looks at images where its localisation network says.

        localisation = keras.Sequential([keras.layers.Conv2D(20, 5), keras.layers.Flatten()])
        crops = SpatialTransformer(localisation, "affine", (28, 28))(images)

    The layer regresses theta from the features of `localisation`, starting at the identity.

    Args:
        localisation: Any Keras layer or model; images, as they came, -> features `[N, ...]` of a
            known size. For images of any size it ends in a global pooling. Where the call has
            `features`, it is given those instead.
        transform: A name of `stn_tf.geometry.TRANSFORMS`, or a `Transform`.
        output_size: Height and width of the output in pixels (depth first for volumes); None
            for those of the input, which may be unknown until a graph runs.
        kernel: `bilinear`, `nearest` (theta learns nothing from it) or `bicubic`.
        padding: `zeros`, `border` or `reflection`.
        align_corners: Whether -1 and 1 are centres of pixels rather than the image's edges.
        antialias: K samples along each axis, averaged, spread over what an output pixel covers of
            the input: for transforms that shrink, up to K times, where one sample aliases and its
            gradient is short-sighted. `Warp` has the formula. 1 samples once, as the paper.
        constraints: What some parameters of theta may be: `{"scale": 0.5}` fixes one,
            `{"angle": (-0.8, 0.8)}` keeps one in a range, `{"scale": (0.1, None)}` above a number.
            Names: `layer.transform.parameters`.
        initial_theta: Where training starts instead of the identity: `[*theta]`, or
            `[crops, *theta]`.
        transform_options: The options of the transform: `control_points`, `regularisation`.
        return_theta: Return (output, theta).
        return_grid: Return (output, grid), or (output, theta, grid) with `return_theta`.
        crops: How many crops of an image there are, each with a theta of its own; None for one,
            without a dimension for them. Crops that start alike see alike until what follows
            treats them differently: give them different starts where it does not.
        data_format: `channels_last` or `channels_first`, of images and output; None for
            `keras.config.image_data_format()`.

    Call: images `[N, H, W, C]` -> `[N, *output_size, C]` in the layer's compute dtype; with
    `features=`, any tensor, the localisation goes on from what another network has seen. Theta
    `[N, *theta]` and grid `[N, *output_size, d]` are float32 under any precision policy. With
    `crops` K all three are `[N, K, ...]`; with `channels_first` C stands before the size.

    Raises:
        ValueError: If a choice, a constraint or a size is wrong.

    Source: Jaderberg et al. 2015, section 3, https://arxiv.org/abs/1506.02025.
    """

    def __init__(
        self,
        localisation: keras.layers.Layer,
        transform: str | Transform = "affine",
        output_size: Sequence[int] | None = None,
        *,
        kernel: str = "bilinear",
        padding: str = "zeros",
        align_corners: bool = False,
        antialias: int = 1,
        constraints: Mapping[str, Constraint] | None = None,
        initial_theta: Any = None,
        transform_options: Mapping[str, Any] | None = None,
        return_theta: bool = False,
        return_grid: bool = False,
        crops: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(localisation, keras.layers.Layer):
            raise TypeError(
                "`localisation` must be a Keras layer or model that turns images into features, "
                f"but it is {localisation!r}."
            )
        self.localisation = localisation
        self.regression = ThetaRegression(
            transform,
            constraints=constraints,
            initial_theta=initial_theta,
            transform_options=transform_options,
            crops=crops,
            name="regression",
        )
        self.warp = Warp(
            self.regression.transform,
            output_size,
            kernel=kernel,
            padding=padding,
            align_corners=align_corners,
            antialias=antialias,
            data_format=data_format,
            dtype=self.dtype_policy,
            name="warp",
        )
        self.return_theta = return_theta
        self.return_grid = return_grid

    @property
    def transform(self) -> Transform:
        """The family of theta."""
        return self.regression.transform

    @property
    def output_size(self) -> tuple[int, ...] | None:
        """Height and width of the output in pixels, or None for those of the input."""
        return self.warp.output_size

    @property
    def kernel(self) -> str:
        """The sampling kernel."""
        return self.warp.kernel

    @property
    def padding(self) -> str:
        """What lies outside the image."""
        return self.warp.padding

    @property
    def align_corners(self) -> bool:
        """Whether -1 and 1 are centres of pixels."""
        return self.warp.align_corners

    @property
    def antialias(self) -> int:
        """How many samples of an output pixel are averaged along each axis."""
        return self.warp.antialias

    @property
    def crops(self) -> int | None:
        """How many crops an image has; None for one, without a dimension for them."""
        return self.regression.crops

    @property
    def data_format(self) -> str:
        """Where the channels of images and output stand."""
        return self.warp.data_format

    @property
    def localisation_variables(self) -> list[keras.Variable]:
        """The trainable variables that decide theta, for a learning rate of their own."""
        return [*self.localisation.trainable_variables, *self.regression.trainable_variables]

    def build(self, images_shape: Shape, features_shape: Shape | None = None) -> None:
        channels.last_shape(images_shape, self.data_format, self.transform.dimensions)
        # A symbolic call builds every kind of layer and tells the shape of the features.
        seen = images_shape if features_shape is None else features_shape
        features = self.localisation(keras.KerasTensor(seen, dtype=self.compute_dtype))
        self.regression.build(features.shape)
        self.warp.build([images_shape, self.regression.compute_output_shape(features.shape)])

    def theta(
        self, images: tf.Tensor, training: bool | None = None, features: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns theta `[N, *theta]`, or `[N, crops, *theta]`, float32, for images."""
        seen = images if features is None else features
        return self.regression(_call(self.localisation, seen, training))

    def call(
        self, images: tf.Tensor, training: bool | None = None, features: tf.Tensor | None = None
    ) -> Any:
        theta = self.theta(images, training, features)
        images = channels.to_last(images, self.data_format)
        grid = None
        if self.return_grid or is_recording():
            grid = self.warp.grid(theta, channels.size_of(images))
        # In a graph in which nobody reads it, the grid is never made.
        if self.return_grid and self.antialias == 1:
            shown = self.warp.sample(images, grid)
        else:
            shown = self.warp.show(images, theta)
        if grid is not None:
            note(Transformation(self, images, theta, grid, shown))
        crops = channels.from_last(shown, self.data_format, self.transform.dimensions)
        extra = [theta] * self.return_theta + [grid] * self.return_grid
        return (crops, *extra) if extra else crops

    def compute_output_shape(
        self, images_shape: Shape, features_shape: Shape | None = None
    ) -> Shape | tuple[Shape, ...]:
        theta = (images_shape[0], *self.regression.theta_shape)
        crops = self.warp.compute_output_shape([images_shape, theta])
        dimensions = self.transform.dimensions
        size = (
            self.output_size
            or channels.last_shape(images_shape, self.data_format, dimensions)[1:-1]
        )
        count = () if self.crops is None else (self.crops,)
        grid = (images_shape[0], *count, *size, dimensions)
        extra = [theta] * self.return_theta + [grid] * self.return_grid
        return (crops, *extra) if extra else crops

    def compute_output_spec(
        self,
        images: keras.KerasTensor,
        training: bool | None = None,
        features: keras.KerasTensor | None = None,
    ) -> Any:
        shapes = self.compute_output_shape(images.shape)
        if not (self.return_theta or self.return_grid):
            return keras.KerasTensor(shapes, dtype=self.compute_dtype)
        crops, *extra = shapes
        return (
            keras.KerasTensor(crops, dtype=self.compute_dtype),
            *(keras.KerasTensor(shape, dtype="float32") for shape in extra),
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        regression, warp = self.regression.get_config(), self.warp.get_config()
        for name in ("transform", "transform_options", "constraints", "initial_theta", "crops"):
            config[name] = regression[name]
        sampling = ("output_size", "kernel", "padding", "align_corners", "antialias", "data_format")
        for name in sampling:
            config[name] = warp[name]
        return {
            **config,
            "localisation": keras.saving.serialize_keras_object(self.localisation),
            "return_theta": self.return_theta,
            "return_grid": self.return_grid,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SpatialTransformer":
        localisation = keras.saving.deserialize_keras_object(config.pop("localisation"))
        # Files that do not say so were written when there was nothing else.
        return cls(localisation, **{"data_format": channels.LAST, **config})


def _call(layer: keras.layers.Layer, images: tf.Tensor, training: bool | None) -> tf.Tensor:
    # Not every layer's call takes `training`; Keras passes it on by itself when it is None.
    return layer(images) if training is None else layer(images, training=training)


def spatial_transformers(model: keras.layers.Layer) -> list[SpatialTransformer]:
    """Returns the spatial transformers in a layer or model, at any depth, each once."""
    # Keras has no public walk over layers inside layers.
    return [layer for layer in model._flatten_layers() if isinstance(layer, SpatialTransformer)]
