"""The files of a run folder.

config.toml      the settings; `stn-tf train RUN/config.toml` repeats the run
network.json     what the network takes and gives (`stn_tf.interface.ModelInterface`)
checkpoints/     weights, optimizer and step
metrics.jsonl    loss, error and speed by step
tensorboard/     the same for TensorBoard, and images of the crops
report.json      the outcome, once the run is complete
"""

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from stn_tf.errors import RunError
from stn_tf.interface import InputSpec, ModelInterface, OutputSpec
from stn_tf.training.config import ExperimentConfig, build_config, read_toml
from stn_tf.experiments.report import write_whole

# Settings that may change on resume: they say where a run runs, not what comes out of it.
_MAY_CHANGE = {"data_dir", "strategy"}


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Where the files of a run are."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def network(self) -> Path:
        return self.path / "network.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def report(self) -> Path:
        return self.path / "report.json"

    def holds_run(self) -> bool:
        """Whether any file of a run is here."""
        return any(
            path.exists() for path in (self.config, self.checkpoints, self.metrics, self.report)
        )

    def check(self, config: ExperimentConfig, resume: bool) -> None:
        """Raises RunError if a run with these settings cannot start, or go on, here."""
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"`{self.path}` is a file, but a run needs a folder. Choose another.")
        if not self.holds_run():
            return
        if not resume:
            raise RunError(
                f"`{self.path}` already holds a run. Continue it with --resume, choose another "
                "folder with --out, or delete it."
            )
        now, then = config.model_dump(), self.read_config().model_dump()
        changed = [
            f"`{key}` {then[key]!r} (now {now[key]!r})"
            for key in now
            if now[key] != then[key] and key not in _MAY_CHANGE
        ]
        if changed:
            raise RunError(
                f"`{self.path}` was started with other settings: {', '.join(changed)}. Resume "
                f"with the same, as in `stn-tf train {self.config} --resume`, or choose another "
                "folder with --out."
            )

    def create(
        self, config: ExperimentConfig, input_shape: tuple[int, ...], classes: tuple[str, ...]
    ) -> None:
        """Writes what describes the run, before its first step.

        Raises:
            RunError: If it cannot be written, or the run here had other data.
        """
        interface = network_interface(input_shape, classes)
        if self.network.exists() and self.read_network() != interface:
            raise RunError(
                f"`{self.path}` was started on other data: image size or classes differ from those "
                f"in `{self.network}`. Resume with the same data, or choose another folder."
            )
        with writing(self.path, "the run"):
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(self.config, config.to_toml())
            write_whole(self.network, interface.model_dump_json(indent=2) + "\n")

    def read_config(self) -> ExperimentConfig:
        """Returns the settings of the run here.

        Raises:
            RunError: If no run is here.
            ConfigError: If its settings cannot be read.
        """
        if not self.config.is_file():
            raise RunError(
                f"`{self.path}` holds no run: it has no config.toml. Train one with "
                f"`stn-tf train EXPERIMENT --out {self.path}`."
            )
        return build_config(read_toml(self.config))

    def read_network(self) -> ModelInterface:
        """Returns what the network of the run here takes and gives.

        Raises:
            RunError: If it cannot be read.
        """
        try:
            network = json.loads(self.network.read_text(encoding="utf-8"))
            if "input_shape" in network:  # Written by stn-tf 0.1.0.
                return network_interface(network["input_shape"], network["classes"])
            return ModelInterface.model_validate(network)
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise RunError(f"`{self.network}` cannot be read: {reason}.") from None


def network_interface(input_shape: Sequence[int], classes: Sequence[str]) -> ModelInterface:
    """Returns what a classifier of training takes and gives: images in 0..1 -> logits.

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


@contextmanager
def writing(path: Path, what: str, cure: str = "") -> Iterator[None]:
    """Turns the errors of writing into one that names the file system.

    Args:
        path: Where it is written.
        what: What is written, as in "Cannot write the run to ...".
        cure: What to do once there is space again.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        place = path.absolute()
        while not place.is_dir():
            place = place.parent
        mount = next(p for p in (place, *place.parents) if os.path.ismount(p))
        free = shutil.disk_usage(mount).free
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        # TensorFlow's text gives the file first, and the operation that wrote it around both.
        reason = reason.partition(" [Op:")[0].rpartition("; ")[2]
        raise RunError(
            f"Cannot write {what} to `{path}`: {reason}. Its file system is the one at "
            f"`{mount}` ({free / 1e6:.1f} MB free). "
            f"{cure or 'Free some space there or choose another folder.'}"
        ) from error
