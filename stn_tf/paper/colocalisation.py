"""Finding the object that some images have in common (appendix A.2), as a recipe for `fit`."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from stn_tf.errors import ConfigError, DataError
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec
from stn_tf.paper.config import COLOCALISATION_NETWORKS, ColocalisationConfig
from stn_tf.paper.digits_recipe import DigitsRecipe
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
        if config.least_scale > config.largest_scale:
            raise ConfigError(
                f"`least_scale` must be at most `largest_scale`, but they are {config.least_scale} "
                f"and {config.largest_scale}."
            )
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
        size = chosen.images.shape[1:3]
        if config.side < max(size):
            raise ConfigError(
                f"`side` must be at least {max(size)}, the side of a digit in pixels, but it is "
                f"{config.side}."
            )
        return dataclasses.replace(source, train=chosen, validation=chosen, test=chosen)

    def scenes(self, config: Any, examples: Examples, *, taught: bool) -> "Scenes":
        from stn_tf.paper.colocalisation_scenes import HiddenDigits

        return HiddenDigits(examples, side=config.side, distractors=config.distractors)

    def interface(self, config: Any, source: Source) -> ModelInterface:
        height, width, channels = source.train.images.shape[1:]
        images = InputSpec(
            name="images",
            dtype="float32",
            shape=(None, config.side, config.side, channels),
            layout="NHWC",
            color_space="grayscale",
            value_range=(0.0, 1.0),
        )
        shapes = {"crops": (None, height, width, channels), "theta": (None, 3)}
        return ModelInterface(
            inputs=(images,),
            outputs=tuple(
                OutputSpec(name=name, dtype="float32", shape=shape, meaning="raw")
                for name, shape in shapes.items()
            ),
            task="none",
            class_names=(),
        )

    def network(self, config: Any, interface: ModelInterface) -> "keras.Model":
        from stn_tf.paper.colocalisation_networks import build_colocalisation_network

        crop = interface.outputs[0].shape
        return build_colocalisation_network(
            config.side,
            (int(crop[1] or 0), int(crop[2] or 0)),
            scales=(config.least_scale, config.largest_scale),
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
            scales=(config.least_scale, config.largest_scale),
        )
        metrics = [BoxIoU(0.5, name="found_percent"), BoxIoU(name="iou")]
        examples = source.train.images[:_EXAMPLES].astype(np.float32) / 255.0
        return {"crops": TripletLoss(encoder, examples)}, {"theta": metrics}
