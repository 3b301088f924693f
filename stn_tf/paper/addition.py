"""The sum of two digits (appendix A.1), as a recipe for `fit`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from stn_tf.data import keys
from stn_tf.errors import ConfigError
from stn_tf.interface import ModelInterface
from stn_tf.paper.batch import Parameters
from stn_tf.paper.canvas import canvas_size
from stn_tf.paper.config import ADDITION_NETWORKS, AdditionConfig
from stn_tf.paper.digits_recipe import DigitsRecipe
from stn_tf.paper.distortions import UNDONE, DistortedImages
from stn_tf.paper.recipe import classifier_interface
from stn_tf.paper.rotation import Rotation
from stn_tf.paper.source import Examples, Source

if TYPE_CHECKING:
    import keras

    from stn_tf.paper.pipeline import Scenes


class AdditionRecipe(DigitsRecipe):
    """Makes pairs of digits, each in its own channel, and networks that add them."""

    Config = AdditionConfig
    networks = ADDITION_NETWORKS

    def scenes(self, config: Any, examples: Examples, *, taught: bool) -> "Scenes":
        return Pairs(examples, config.distortion)

    def check(self, config: Any) -> None:
        if config.curriculum and not isinstance(UNDONE.get(config.distortion), Rotation):
            raise ConfigError(
                "`curriculum` needs a distortion that can begin with none of it, r or rts, but "
                f"`distortion` is {config.distortion!r}. Set curriculum=0."
            )

    def notes(self, config: Any) -> tuple[str, ...]:
        if not config.curriculum:
            return ()
        steps = round(config.curriculum * config.steps)
        return (
            f"Training begins with digits as they are; {config.distortion} grows to all of it over "
            f"{steps:,} steps, which validation has from the first (--set curriculum=0 for all).",
        )

    def ease(
        self, config: Any, scenes: Any
    ) -> Callable[[Parameters, tf.Tensor], Parameters] | None:
        if not config.curriculum:
            return None

        def ease(parameters: Parameters, step: tf.Tensor) -> Parameters:
            done = tf.cast(step, tf.float32) / (config.curriculum * config.steps)
            return scenes.weakened(parameters, tf.minimum(done, 1.0))

        return ease

    def interface(self, config: Any, source: Source) -> ModelInterface:
        height, width = source.train.images.shape[1:3]
        sums = range(2 * len(source.classes) - 1)
        size = canvas_size(config.distortion, (height, width))
        return classifier_interface((*size, 2), [str(number) for number in sums])

    def network(self, config: Any, interface: ModelInterface) -> "keras.Model":
        from stn_tf.paper.networks import build_addition_network

        shape = [length for length in interface.inputs[0].shape[1:] if length is not None]
        return build_addition_network(
            config.model, shape, len(interface.class_names), crop_size=config.crop_size
        )


class Pairs:
    """Two digits in two channels, each distorted by itself; the label is their sum.

    Args:
        examples: Grey digits, labelled by their value.
        distortion: One of `stn_tf.paper.DISTORTIONS`.
    """

    def __init__(self, examples: Examples, distortion: str):
        self._single = DistortedImages(examples, distortion)
        self._distortion = distortion

    def __len__(self) -> int:
        return len(self._single)

    def draw(self, key: tf.Tensor, count: int) -> Parameters:
        """Draws what the distortion does, for `first` and `second`, and which is the `second`."""
        *halves, other = keys.split(key, 3)
        parameters = {"second": keys.integers(other, (count,), len(self))}
        for name, half in zip(("first", "second"), halves, strict=True):
            drawn = self._single.draw(half, count)
            parameters |= {f"{name}.{key}": value for key, value in drawn.items()}
        return parameters

    def make(self, parameters: Parameters, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns images float32 `[n, H, W, 2]` in 0..1, and sums int32 `[n]`."""
        images, labels = zip(
            self._half("first", parameters, indices),
            self._half("second", parameters, tf.cast(parameters["second"], tf.int64)),
            strict=True,
        )
        return tf.concat(images, axis=-1), tf.add_n(labels)

    def weakened(self, parameters: Parameters, strength: tf.Tensor) -> Parameters:
        """Returns parameters of so much of the distortion, from 0 for none to 1 for all of it.

        Raises:
            ValueError: If the distortion is neither r nor rts.
        """
        rotation = UNDONE.get(self._distortion)
        if not isinstance(rotation, Rotation):
            raise ValueError(
                f"`distortion` must be r or rts to be weakened, but it is {self._distortion!r}."
            )
        weaker = {"second": parameters["second"]}
        for name in ("first", "second"):
            own = rotation.weakened(_of(name, parameters), strength)
            weaker |= {f"{name}.{key}": value for key, value in own.items()}
        return weaker

    def _half(
        self, name: str, parameters: Parameters, indices: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = self._single.make(_of(name, parameters), indices)
        return images, labels


def _of(name: str, parameters: Parameters) -> Parameters:
    """The parameters of one digit of each pair."""
    return {
        key.removeprefix(f"{name}."): value
        for key, value in parameters.items()
        if key.startswith(f"{name}.")
    }
