"""Finding the object that some images have in common (appendix A.2), as a recipe for `fit`."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from stn_tf.errors import ConfigError, DataError
from stn_tf.interface import ModelInterface, OutputSpec
from stn_tf.paper.config import COLOCALISATION_NETWORKS, ColocalisationConfig
from stn_tf.paper.digits_recipe import DigitsRecipe
from stn_tf.paper.recipe import images_spec
from stn_tf.paper.source import Examples, Source
from stn_tf.recipe import Prepared

if TYPE_CHECKING:
    from pathlib import Path

    import keras

    from stn_tf.paper.pipeline import Scenes

# So many digits tell the loss how strong activations are.
_EXAMPLES = 500


class ColocalisationRecipe(DigitsRecipe):
    """Makes images of one kind of digit, and a network that learns where it is."""

    Config = ColocalisationConfig
    networks = COLOCALISATION_NETWORKS

    def prepare(self, config: Any, split: "Path | None" = None) -> Prepared:
        prepared = super().prepare(config, split)
        note = (
            f"The loss compares what a network sees that was taught digits for "
            f"{config.encoder_steps} steps (encoder_steps=...); where the digit {config.digit} is "
            "(digit=...), it is not told."
        )
        return dataclasses.replace(prepared, notes=(note, *prepared.notes))

    def source(self, config: Any) -> Source:
        """Reads the images of one class; they are what is learned from and what is measured."""
        source = super().source(config)
        chosen = source.train[np.flatnonzero(source.train.labels == config.digit)[: config.images]]
        if len(chosen) < config.images:
            raise DataError(
                f"`images` must be at most {len(chosen)}, as many as {config.source} has of the "
                f"digit {config.digit} to train on, but it is {config.images}."
            )
        return dataclasses.replace(source, train=chosen, validation=chosen, test=chosen)

    def scenes(self, config: Any, examples: Examples, *, taught: bool) -> "Scenes":
        from stn_tf.paper.colocalisation_scenes import HiddenDigits

        return HiddenDigits(examples, side=config.side, distractors=config.distractors)

    def interface(self, config: Any, source: Source) -> ModelInterface:
        height, width, channels = source.train.images.shape[1:]
        _scales(config, height)
        shapes = {"crops": (None, height, width, channels), "theta": (None, 3)}
        return ModelInterface(
            inputs=(images_spec((config.side, config.side, channels)),),
            outputs=tuple(
                OutputSpec(name=name, dtype="float32", shape=shape, meaning="raw")
                for name, shape in shapes.items()
            ),
            task="none",
            class_names=(),
        )

    def network(self, config: Any, interface: ModelInterface) -> "keras.Model":
        from stn_tf.paper.colocalisation_networks import build_colocalisation_network

        height, width = (int(extent or 0) for extent in interface.outputs[0].shape[1:3])
        return build_colocalisation_network(
            config.side,
            (height, width),
            scales=_scales(config, height),
            outside_penalty=config.outside_penalty,
        )

    def objective(self, config: Any) -> tuple[Any, Any]:
        from stn_tf.paper.colocalisation_networks import trained_encoder
        from stn_tf.paper.colocalisation_objective import BoxIoU, TripletLoss

        source = super().source(config)
        encoder = trained_encoder(
            source,
            steps=config.encoder_steps,
            seed=config.seed,
            deterministic=config.deterministic,
            side=config.side,
            distractors=config.distractors,
            scales=_scales(config, source.train.images.shape[1]),
        )
        metrics = [BoxIoU(0.5, name="found_percent"), BoxIoU(name="iou")]
        examples = source.train.images[:_EXAMPLES].astype(np.float32) / 255.0
        return {"crops": TripletLoss(encoder, examples)}, {"theta": metrics}


def _scales(config: Any, digit: int) -> tuple[float, float]:
    """Returns between which the scale of the window stays; `digit` is the side of one in pixels."""
    least = digit / config.side if config.least_scale is None else config.least_scale
    if least >= config.largest_scale:
        raise ConfigError(
            f"`largest_scale` must be above the least, {least:.3g} (`least_scale`, or the digit's "
            f"share of `side`), but it is {config.largest_scale:g}."
        )
    return least, config.largest_scale
