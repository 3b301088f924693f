"""A run folder, seen from outside: its settings, weights, examples and report."""

import dataclasses
from collections.abc import Iterable
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np

from stn_tf.errors import DataError, RunError
from stn_tf.experiments.recipes import recipe_of
from stn_tf.experiments.report import Report
from stn_tf.experiments.run_folder import RunFolder
from stn_tf.interface import ModelInterface
from stn_tf.recipe import PARTS, ExperimentConfig, Prepared
from stn_tf.training.checkpoint import load_weights
from stn_tf.training.policy import dtype_policy


class Run:
    """A run that `train` wrote.

    Args:
        path: Its folder.
        data_dir: Where its data is now, if not where it was.

    Attributes:
        config: Its settings.
        classes: The names of the classes, in the order of the logits.
        interface: What its network takes and gives.

    Raises:
        RunError: If the folder holds no run.
    """

    def __init__(self, path: str | PathLike[str], data_dir: str | PathLike[str] | None = None):
        self.path = Path(path)
        self.folder = RunFolder(self.path)
        if not self.path.is_dir():
            raise RunError(f"`{self.path}` is no run folder: there is no such folder.")
        self.config: ExperimentConfig = self.folder.read_config()
        if data_dir is not None:
            self.config = self.config.model_copy(update={"data_dir": str(Path(data_dir).resolve())})
        self.interface: ModelInterface = self.folder.read_network()
        self.classes = self.interface.class_names

    @property
    def report(self) -> dict[str, Any] | None:
        """What `report.json` says; None before the run is complete."""
        if not self.folder.report.exists():
            return None
        return dataclasses.asdict(Report.read(self.folder.report))

    def load_model(self, which: str = "chosen") -> keras.Model:
        """Returns the network with the weights that were chosen, or else the latest.

        It computes in float32, whatever precision it was trained in.

        Args:
            which: `chosen`, `best` or `last`.

        Raises:
            RunError: If there is no checkpoint, or it cannot be read.
        """
        with dtype_policy("float32"):
            model = recipe_of(self.config).model(self.config, self.interface)
        load_weights(self.folder.checkpoints, model, which)
        return model

    def has(self, split: str) -> bool:
        """Whether the data has a part."""
        return self.prepared.parts(split) is not None

    def dataset(self, split: str = "test") -> Iterable[Any]:
        """Returns batches of (images, labels), as in the report.

        Args:
            split: `train`, `validation` or `test`.

        Raises:
            DataError: If the data cannot be read, has other classes, or no such part.
        """
        if split not in PARTS:
            raise ValueError(f"`split` must be train, validation or test, but it is {split!r}.")
        dataset = self.prepared.parts(split)
        if dataset is None:
            raise DataError(f"The data of `{self.path}` has no part {split}.")
        return dataset

    def examples(
        self, split: str = "test", count: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the first `count` images and labels of `dataset(split)`, or all.

        Returns:
            `[N, ...]` as the network takes them, and `[N]` int32, the indices of the classes.
        """
        images: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        missing = count
        for batch in self.dataset(split):
            if missing is not None and missing <= 0:
                break
            images.append(np.asarray(batch[0])[:missing])
            labels.append(class_indices(np.asarray(batch[1]))[:missing])
            if missing is not None:
                missing -= len(images[-1])
        if not images:
            shape = [length or 1 for length in self.interface.inputs[0].shape[1:]]
            return np.zeros((0, *shape), np.float32), np.zeros(0, np.int32)
        return np.concatenate(images), np.concatenate(labels)

    @cached_property
    def prepared(self) -> Prepared:
        """What the recipe makes of the settings, with the split that the run began with.

        Raises:
            DataError: If the data cannot be read, or has other classes.
        """
        prepared = recipe_of(self.config).prepare(self.config, self.folder.kept_split())
        found = prepared.interface.class_names
        if found != self.classes:
            different = sorted(set(found) ^ set(self.classes)) or ["their order"]
            raise DataError(
                f"`data_dir` {getattr(self.config, 'data_dir', None)!r} has other classes than the "
                f"run `{self.path}`, which was trained on {len(self.classes)}: "
                f"{', '.join(different[:10])}. Give the folder with the same classes by --data-dir."
            )
        return prepared


def class_indices(labels: np.ndarray) -> np.ndarray:
    """Returns int32 `[N]` of labels that are indices `[N]` or one-hot `[N, K]`."""
    if labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
    return labels.astype(np.int32)
