"""The paper's networks on distorted digits, as a recipe for `fit`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stn_tf.errors import ConfigError
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec
from stn_tf.paper.canvas import canvas_size
from stn_tf.paper.config import NETWORKS, PaperConfig
from stn_tf.paper.digits_recipe import DigitsRecipe
from stn_tf.paper.source import Examples, Source, load_source

if TYPE_CHECKING:
    import keras

    from stn_tf.paper.pipeline import Scenes


_COLOURS: dict[int, Literal["grayscale", "rgb"]] = {1: "grayscale", 3: "rgb"}


class PaperRecipe(DigitsRecipe):
    """Makes the networks and data of appendix A.4."""

    Config = PaperConfig
    networks = NETWORKS

    def source(self, config: Any) -> Source:
        return load_source(
            config.source,
            None if config.data_dir is None else Path(config.data_dir),
            image_size=config.image_size,
            channels=config.channels,
        )

    def scenes(self, config: Any, examples: Examples, *, taught: bool) -> "Scenes":
        from stn_tf.paper.distortions import DistortedImages

        with_theta = taught and self.trains_more(config)
        return DistortedImages(examples, config.distortion, with_theta=with_theta)

    def interface(self, config: Any, source: Source) -> ModelInterface:
        height, width, channels = source.train.images.shape[1:]
        shape = (*canvas_size(config.distortion, (height, width)), channels)
        return classifier_interface(shape, source.classes)

    def check(self, config: Any) -> None:
        if not config.theta_loss:
            return
        from stn_tf.paper.distortions import UNDONE

        if config.distortion not in UNDONE or not config.model.endswith("affine"):
            raise ConfigError(
                "`theta_loss` needs a network that ends in affine and a distortion that an affine "
                f"theta undoes ({', '.join(UNDONE)}), but they are {config.model} and "
                f"{config.distortion}. Leave it out."
            )

    def trains_more(self, config: Any) -> bool:
        return bool(config.theta_loss)

    def objective(self, config: Any) -> tuple[Any, Any]:
        loss, metrics = super().objective(config)
        if not config.theta_loss:
            return loss, metrics
        from stn_tf.paper.theta_loss import ThetaLoss

        return {"logits": loss, "theta": ThetaLoss(config.theta_loss)}, {"logits": list(metrics)}

    def network(self, config: Any, interface: ModelInterface) -> "keras.Model":
        return self._build(config, interface, return_theta=False)

    def trained(self, config: Any, interface: ModelInterface) -> "keras.Model":
        return self._build(config, interface, return_theta=self.trains_more(config))

    def _build(
        self, config: Any, interface: ModelInterface, *, return_theta: bool
    ) -> "keras.Model":
        from stn_tf.paper.networks import build_network

        shape = [length for length in interface.inputs[0].shape[1:] if length is not None]
        return build_network(
            config.model,
            shape,
            len(interface.class_names),
            crop_size=config.crop_size,
            pool_crops=config.pool_crops,
            antialias=config.antialias,
            feed_theta=config.feed_theta,
            outside_penalty=config.outside_penalty,
            return_theta=return_theta,
        )


def classifier_interface(input_shape: Sequence[int], classes: Sequence[str]) -> ModelInterface:
    """Returns what a network of the paper takes and gives: images in 0..1 -> logits.

    Args:
        input_shape: Height, width and channels; or depth first, for volumes.
        classes: The names of the classes.
    """
    names = tuple(map(str, classes))
    logits = OutputSpec(name="logits", dtype="float32", shape=(None, len(names)), meaning="logits")
    return ModelInterface(
        inputs=(images_spec(input_shape),),
        outputs=(logits,),
        task="classification",
        class_names=names,
    )


def images_spec(input_shape: Sequence[int]) -> InputSpec:
    """Returns the input of the paper's networks: images, or volumes, in 0..1."""
    shape = tuple(map(int, input_shape))
    return InputSpec(
        name="images",
        dtype="float32",
        shape=(None, *shape),
        layout="NHWC" if len(shape) == 3 else "NDHWC",
        color_space=_COLOURS.get(shape[-1]),
        value_range=(0.0, 1.0),
    )
