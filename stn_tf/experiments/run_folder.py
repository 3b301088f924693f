"""The files of a run folder.

config.toml      the settings; `stn-tf train RUN/config.toml` repeats the run
network.json     what the network takes and gives (`stn_tf.interface.ModelInterface`)
split.csv        which image is in which part, where the recipe keeps that
checkpoints/     weights, optimizer and step
metrics.jsonl    loss, error and speed by step
tensorboard/     the same for TensorBoard, and images of the crops
report.json      the outcome, once the run is complete
report.html      the outcome, to be looked at
"""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

from stn_tf.errors import RunError
from stn_tf.experiments.settings import config_class
from stn_tf.interface import ModelInterface
from stn_tf.paper.recipe import classifier_interface
from stn_tf.recipe import ExperimentConfig, Prepared
from stn_tf.training.config import build_config, read_toml
from stn_tf.training.files import write_whole, writing

# Settings that may change on resume: they say where a run runs and for how long.
_MAY_CHANGE = {
    "data_dir",
    "strategy",
    "steps",
    "epochs",
    "cache",
    "cache_dir",
    "checkpoint_every",
    "checkpoint_minutes",
    "keep_checkpoints",
    "log_every",
    "patience",
    "on_nan",
}


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
    def split(self) -> Path:
        return self.path / "split.csv"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def report(self) -> Path:
        return self.path / "report.json"

    @property
    def page(self) -> Path:
        return self.path / "report.html"

    def holds_run(self) -> bool:
        """Whether any file of a run is here."""
        return any(
            path.exists() for path in (self.config, self.checkpoints, self.metrics, self.report)
        )

    def check_free(self, resume: bool) -> None:
        """Raises RunError if a new run cannot start here, or one is to go on that is not here."""
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"`{self.path}` is a file, but a run needs a folder. Choose another.")
        if self.holds_run() and not resume:
            raise RunError(
                f"`{self.path}` already holds a run. Continue it with --resume, choose another "
                "folder with --out, or delete it."
            )

    def continued(self, config: ExperimentConfig) -> tuple[ExperimentConfig, tuple[str, ...]]:
        """Returns settings to go on with: those that are not given are the run's.

        Returns:
            The settings, and a line that tells which those are, if any are not the usual ones.

        Raises:
            ConfigError: If the settings of the run cannot be read.
        """
        then, given = self.read_config(), config.model_fields_set
        if type(then) is not type(config):
            return config, ()
        kept = {key: value for key, value in then if key not in given}
        if "epochs" in given:
            kept.pop("steps", None)  # They follow.
        changed = [f"{key}={value}" for key, value in kept.items() if value != getattr(config, key)]
        line = f"Going on with the settings of the run: {', '.join(changed)}."
        return config.model_copy(update=kept), (line,) if changed else ()

    def check_same(self, config: ExperimentConfig) -> None:
        """Raises RunError if the run here was started with other settings."""
        now, then = config.model_dump(), self.read_config().model_dump()
        changed = [
            f"`{key}` {then.get(key)!r} (now {now[key]!r})"
            for key in now
            if now[key] != then.get(key) and key not in _MAY_CHANGE
        ]
        if changed:
            raise RunError(
                f"`{self.path}` was started with other settings: {', '.join(changed)}. Resume "
                f"with the same, as in `stn-tf train {self.config} --resume`, or choose another "
                "folder with --out."
            )

    def create(self, prepared: Prepared) -> None:
        """Writes what describes the run, before its first step.

        Raises:
            RunError: If it cannot be written, or the run here had other data.
        """
        if self.network.exists() and _data(self.read_network()) != _data(prepared.interface):
            raise RunError(
                f"`{self.path}` was started on other data: image size or classes differ from those "
                f"in `{self.network}`. Resume with the same data, or choose another folder."
            )
        with writing(self.path, "the run"):
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(self.config, prepared.config.to_toml())
            write_whole(self.network, prepared.interface.model_dump_json(indent=2) + "\n")
            if prepared.write_split is not None and not self.split.exists():
                prepared.write_split(self.split)

    def remove_unstarted(self) -> None:
        """Removes what describes the run, if nothing was trained: it can then start anew."""
        if self.metrics.exists() or self.checkpoints.exists():
            return
        for file in (self.config, self.network, self.split):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # Something else is in it.
            self.path.rmdir()

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
        settings = read_toml(self.config)
        return build_config(config_class(settings), settings)

    def read_network(self) -> ModelInterface:
        """Returns what the network of the run here takes and gives.

        Raises:
            RunError: If it cannot be read.
        """
        try:
            network = json.loads(self.network.read_text(encoding="utf-8"))
            if "input_shape" in network:  # Written by stn-tf 0.1.0.
                return classifier_interface(network["input_shape"], network["classes"])
            return ModelInterface.model_validate(network)
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise RunError(f"`{self.network}` cannot be read: {reason}.") from None

    def kept_split(self) -> Path | None:
        """Returns the file that says which image is in which part, where the run has one."""
        return self.split if self.split.exists() else None


def _data(interface: ModelInterface) -> Any:
    """What data decides of an interface; Keras numbers what has no name, on in each process."""
    return [spec.shape for spec in interface.inputs], interface.class_names
