"""A run folder, seen from outside: its settings, weights, examples and report."""

import dataclasses
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stn_tf.paper import Source, evaluation_dataset, load_source
from stn_tf.errors import RunError
from stn_tf.interface import ModelInterface
from stn_tf.training.checkpoint import load_weights
from stn_tf.training.config import ExperimentConfig
from stn_tf.experiments.run_folder import RunFolder
from stn_tf.experiments.report import Report
from stn_tf.training.step import build_model, dtype_policy

# Validation and test images are distorted alike in every run, whatever its own seed.
EVALUATION_SEED = 2015
EVALUATION_BATCH = 250


class Run:
    """A run that `train` wrote.

    Args:
        path: Its folder.

    Attributes:
        config: Its settings.
        input_shape: Height, width and channels that its network reads.
        classes: The names of the classes, in the order of the logits.
        interface: What its network takes and gives.

    Raises:
        RunError: If the folder holds no run.
    """

    def __init__(self, path: str | PathLike[str]):
        self.path = Path(path)
        self.folder = RunFolder(self.path)
        if not self.path.is_dir():
            raise RunError(f"`{self.path}` is no run folder: there is no such folder.")
        self.config: ExperimentConfig = self.folder.read_config()
        self.interface: ModelInterface = self.folder.read_network()
        self.input_shape = tuple(map(int, filter(None, self.interface.inputs[0].shape[1:])))
        self.classes = self.interface.class_names

    @property
    def report(self) -> dict[str, Any] | None:
        """What `report.json` says; None before the run is complete."""
        if not self.folder.report.exists():
            return None
        return dataclasses.asdict(Report.read(self.folder.report))

    def load_model(self) -> keras.Model:
        """Returns the network with the final weights, or else the latest.

        It computes in float32, whatever precision it was trained in.
        """
        with dtype_policy("float32"):
            model = build_model(self.config, self.input_shape, len(self.classes))
        load_weights(self.folder.checkpoints, model)
        return model

    def dataset(self, split: str = "test") -> tf.data.Dataset:
        """Returns batches of (images, labels), distorted as in the report.

        Args:
            split: `train`, `validation` or `test`.
        """
        return evaluation_batches(self._source, self.config, split)

    def examples(
        self, split: str = "test", count: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the first `count` images and labels of `dataset(split)`, or all.

        Returns:
            `[N, H, W, C]` float32 in 0..1, and `[N]` int32.
        """
        dataset = self.dataset(split).unbatch()
        if count is not None:
            dataset = dataset.take(count)
        batches = list(dataset.batch(EVALUATION_BATCH).as_numpy_iterator())
        if not batches:
            return np.zeros((0, *self.input_shape), np.float32), np.zeros(0, np.int32)
        images, labels = zip(*batches, strict=True)
        return np.concatenate(images), np.concatenate(labels)

    @cached_property
    def _source(self) -> Source:
        return config_source(self.config)


def config_source(config: ExperimentConfig) -> Source:
    """Loads the data of the settings."""
    return load_source(
        config.source,
        None if config.data_dir is None else Path(config.data_dir),
        image_size=config.image_size,
        channels=config.channels,
    )


def evaluation_batches(source: Source, config: ExperimentConfig, split: str) -> tf.data.Dataset:
    """Returns the fixed, distorted images of a split, each once."""
    if split not in ("train", "validation", "test"):
        raise ValueError(f"`split` must be train, validation or test, but it is {split!r}.")
    return evaluation_dataset(
        getattr(source, split),
        config.distortion,
        batch_size=EVALUATION_BATCH,
        seed=EVALUATION_SEED,
    )
