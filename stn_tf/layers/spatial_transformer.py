"""The spatial transformer: a layer that learns where to look."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from stn_tf.geometry import Transform
from stn_tf.layers.recording import Transformation, is_recording, note
from stn_tf.layers.theta_regression import Constraint, ThetaRegression
from stn_tf.layers.warp import Warp


@keras.saving.register_keras_serializable("stn_tf")
class SpatialTransformer(keras.layers.Layer):
    """Looks at images where its localisation network says.

        localisation = keras.Sequential([keras.layers.Conv2D(20, 5), keras.layers.Flatten()])
        crops = SpatialTransformer(localisation, "affine", (28, 28))(images)

    The layer regresses theta from the features of `localisation`, starting at the identity.

    Args:
        localisation: Any Keras layer or model; images -> features `[N, ...]` of a known size.
        transform: A name of `stn_tf.geometry.TRANSFORMS`.
        output_size: Height and width of the output in pixels (depth first for volumes); None
            for those of the input.
        kernel: `bilinear`, `nearest` (theta learns nothing from it) or `bicubic`.
        padding: `zeros`, `border` or `reflection`.
        align_corners: Whether -1 and 1 are centres of pixels rather than the image's edges.
        constraints: What some parameters of theta may be: `{"scale": 0.5}` fixes one,
            `{"angle": (-0.8, 0.8)}` keeps one in a range. Names: `layer.transform.parameters`.
        initial_theta: Where training starts instead of the identity.
        transform_options: The options of the transform: `control_points`, `regularisation`.
        return_theta: Return (output, theta).
        return_grid: Return (output, grid), or (output, theta, grid) with `return_theta`.

    Call: images `[N, H, W, C]` -> `[N, *output_size, C]` in the layer's compute dtype. Theta
    `[N, *theta]` and grid `[N, *output_size, d]` are float32 under any precision policy.

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
        constraints: Mapping[str, Constraint] | None = None,
        initial_theta: Any = None,
        transform_options: Mapping[str, Any] | None = None,
        return_theta: bool = False,
        return_grid: bool = False,
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
            name="regression",
        )
        self.warp = Warp(
            self.regression.transform,
            output_size,
            kernel=kernel,
            padding=padding,
            align_corners=align_corners,
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
    def localisation_variables(self) -> list[keras.Variable]:
        """The trainable variables that decide theta, for a learning rate of their own."""
        return [*self.localisation.trainable_variables, *self.regression.trainable_variables]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        # A symbolic call builds every kind of layer and tells the shape of the features.
        features = self.localisation(keras.KerasTensor(input_shape, dtype=self.compute_dtype))
        self.regression.build(features.shape)

    def theta(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns theta `[N, *theta]`, float32, for images `[N, H, W, C]`."""
        return self.regression(_call(self.localisation, images, training))

    def call(self, images: tf.Tensor, training: bool | None = None) -> Any:
        theta = self.theta(images, training)
        if not (self.return_grid or is_recording()):
            crops = self.warp.show(images, theta)
            return (crops, theta) if self.return_theta else crops
        grid = self.warp.grid(theta, images.shape[1:-1])
        if self.return_grid:
            crops = self.warp.sample(images, grid)
        else:
            # In a graph in which nobody reads it, the grid is never made.
            crops = self.warp.show(images, theta)
        note(Transformation(self, images, theta, grid, crops))
        extra = [theta] * self.return_theta + [grid] * self.return_grid
        return (crops, *extra) if extra else crops

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        regression, warp = self.regression.get_config(), self.warp.get_config()
        for name in ("transform", "transform_options", "constraints", "initial_theta"):
            config[name] = regression[name]
        for name in ("output_size", "kernel", "padding", "align_corners"):
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
        return cls(localisation, **config)


def _call(layer: keras.layers.Layer, images: tf.Tensor, training: bool | None) -> tf.Tensor:
    # Not every layer's call takes `training`; Keras passes it on by itself when it is None.
    return layer(images) if training is None else layer(images, training=training)


def spatial_transformers(model: keras.layers.Layer) -> list[SpatialTransformer]:
    """Returns the spatial transformers in a layer or model, at any depth, each once."""
    # Keras has no public walk over layers inside layers.
    return [layer for layer in model._flatten_layers() if isinstance(layer, SpatialTransformer)]
