"""The paper's networks on distorted digits, as a recipe for `fit`."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stn_tf.errors import ConfigError
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec
from stn_tf.paper.canvas import canvas_size
from stn_tf.paper.config import PaperConfig
from stn_tf.paper.source import Examples, Source, load_source
from stn_tf.recipe import Batches, Prepared

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# Validation and test images are distorted alike in every run, whatever its own seed.
EVALUATION_SEED = 2015


class PaperRecipe:
    """Makes the networks and data of appendix A.4."""

    Config = PaperConfig

    def prepare(self, config: PaperConfig, split: Path | None = None) -> Prepared:
        _check_model(config.model)
        if config.data_dir is not None:
            config = config.model_copy(update={"data_dir": str(Path(config.data_dir).resolve())})
        source = load_source(
            config.source,
            None if config.data_dir is None else Path(config.data_dir),
            image_size=config.image_size,
            channels=config.channels,
        )
        height, width, channels = source.train.images.shape[1:]
        shape = (*canvas_size(config.distortion, (height, width)), channels)
        interface = classifier_interface(shape, source.classes)
        data = _Data(config, source)
        from stn_tf.training.error_percent import ErrorPercent

        return Prepared(
            config,
            interface,
            build=lambda: self.model(config, interface),
            train=data,
            parts=data.part,
            loss=_loss(),
            metrics=(ErrorPercent(),),
            notes=source.notes,
        )

    def model(self, config: PaperConfig, interface: ModelInterface) -> "keras.Model":
        from stn_tf.paper.networks import build_network

        _check_model(config.model)
        shape = [length for length in interface.inputs[0].shape[1:] if length is not None]
        return build_network(
            config.model,
            shape,
            len(interface.class_names),
            crop_size=config.crop_size,
            pool_crops=config.pool_crops,
        )


class _Data:
    """Batches of a source; a batch of training is a function of seed and step."""

    def __init__(self, config: PaperConfig, source: Source):
        self._config = config
        self._source = source

    def batches(
        self, start_step: int, *, replicas: int = 1, replica_ids: Sequence[int] = (0,)
    ) -> "tf.data.Dataset":
        from stn_tf.paper.pipeline import training_dataset

        return training_dataset(
            self._source.train,
            self._config.distortion,
            batch_size=self._config.batch_size,
            seed=self._config.seed,
            start_step=start_step,
            replicas=replicas,
            replica_ids=replica_ids,
        )

    def part(self, name: str) -> Iterable[Any]:
        """Returns the images of a part, distorted in the way that is fixed for all runs."""
        return Batches(lambda: self._evaluation(getattr(self._source, name)))

    def _evaluation(self, examples: Examples) -> "tf.data.Dataset":
        from stn_tf.paper.pipeline import evaluation_dataset

        return evaluation_dataset(
            examples,
            self._config.distortion,
            batch_size=self._config.batch_size,
            seed=EVALUATION_SEED,
        )


def classifier_interface(input_shape: Sequence[int], classes: Sequence[str]) -> ModelInterface:
    """Returns what a network of the paper takes and gives: images in 0..1 -> logits.

    Args:
        input_shape: Height, width and channels.
        classes: The names of the classes.
    """
    shape = tuple(map(int, input_shape))
    images = InputSpec(
        name="images",
        dtype="float32",
        shape=(None, *shape),
        layout="NHWC",
        color_space="grayscale" if shape[-1] == 1 else "rgb",
        value_range=(0.0, 1.0),
    )
    names = tuple(map(str, classes))
    logits = OutputSpec(name="logits", dtype="float32", shape=(None, len(names)), meaning="logits")
    return ModelInterface(
        inputs=(images,), outputs=(logits,), task="classification", class_names=names
    )


def _check_model(name: str) -> None:
    from stn_tf.paper.networks import NETWORKS

    if name not in NETWORKS:
        near = difflib.get_close_matches(name, NETWORKS, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise ConfigError(
            f"`model` must be one of {', '.join(NETWORKS)}, but it is {name!r}.{hint}"
        )


def _loss() -> Any:
    import keras

    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
