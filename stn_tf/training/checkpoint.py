"""Checkpoints: all that is needed to go on as if nothing had happened.

    checkpoints/step-200/variables.index, variables.data-00000-of-00001
                         state.json
                         iterator.*                             of some datasets

A checkpoint is written under another name and renamed when all of it is on the disk, so that a
folder of this name is whole. The last few and the best are kept.
"""

import contextlib
import dataclasses
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from stn_tf.errors import RunError
from stn_tf.training import checkpoint_0_1_0
from stn_tf.training.files import remove_folder, sync, write_whole, writing
from stn_tf.training.state import State

_NAME = re.compile(r"step-(\d+)")
_VARIABLES, _STATE, _ITERATOR = "variables", "state.json", "iterator"
# What TensorFlow and Python raise for files that are cut off or damaged.
_UNREADABLE = (tf.errors.OpError, OSError, ValueError, LookupError, RuntimeError, TypeError)

Weight = tuple[str, np.ndarray]


class Checkpoints:
    """The checkpoints in a folder, as the one process that writes them sees them.

    Args:
        directory: Where they are.
        model: The Keras model, for checkpoints of stn-tf 0.1.0.
        groups: Variables by group, each in a fixed order or by number: `weights`, and
            whatever else there is.
        keep: How many of the last are kept.
        writes: Whether this process writes. All processes of a run must call `save`, because
            reading a variable may take all of them.

    Attributes:
        state: Of the training; `restore` sets it and `save` writes it.
    """

    def __init__(
        self,
        directory: Path,
        model: Any,
        groups: Mapping[str, Any],
        *,
        keep: int = 3,
        writes: bool = True,
    ):
        self.state = State()
        self._directory = directory
        self._model = model
        self._groups = groups
        self._keep = keep
        self._writes = writes
        self._saved: int | None = None
        if writes:
            _remove_rest(directory)

    @property
    def saved(self) -> int | None:
        """The step of the last checkpoint that this process wrote or restored."""
        return self._saved

    def restore(
        self,
        notify: Callable[[str], None] = lambda text: None,
        restore_data: Callable[[Path], bool] = lambda prefix: False,
    ) -> bool:
        """Restores the latest readable checkpoint, if there is one.

        Args:
            notify: Is told of each that cannot be read.
            restore_data: Restores the position in the data from a file's prefix, if it can.

        Returns:
            Whether there was one.

        Raises:
            RunError: If there are checkpoints and none can be read, or it is of another model.
        """
        steps = checkpoint_steps(self._directory)
        for step in reversed(steps):
            folder = self._directory / f"step-{step}"
            try:
                state = read_state(folder)
                values = _read_groups(folder, self._groups)
                if (folder / f"{_ITERATOR}.index").exists():
                    restore_data(folder / _ITERATOR)
            except _UNREADABLE as error:
                notify(f"Skipping the checkpoint `{folder}`, which cannot be read: {_line(error)}")
                continue
            for variable, value in values:
                variable.assign(value)
            self.state = state
            self._saved = step
            return True
        old = checkpoint_0_1_0.restore(
            self._directory, self._model, self._groups["optimizer"], notify
        )
        if old is not None:
            self.state = State(**old)
            return True
        if steps:
            raise RunError(f"None of the checkpoints in `{self._directory}` can be read.")
        return False

    def save(self, save_data: Callable[[Path], None] | None = None) -> None:
        """Writes a checkpoint of the state's step, and removes those that are not kept.

        Args:
            save_data: Writes the position in the data to files of a prefix.

        Raises:
            RunError: If it cannot be written. Earlier ones are as they were.
        """
        step = self.state.step
        again = step == self._saved
        tensors = {} if again else _named(self._groups)
        if not self._writes:
            self._saved = step
            return
        before = f" from step {self._saved}" if self._saved else ""
        with writing(
            self._directory,
            f"the checkpoint of step {step}",
            f"Free some space there, then continue{before} with --resume.",
        ):
            if again:
                write_whole(self._directory / f"step-{step}" / _STATE, self._state_text())
            else:
                self._write(step, tensors, save_data)
        self._saved = step
        with contextlib.suppress(OSError):  # What stays is in nobody's way.
            self._prune()

    def _write(
        self,
        step: int,
        tensors: Mapping[str, tf.Tensor],
        save_data: Callable[[Path], None] | None,
    ) -> None:
        folder, aside = self._directory / f"step-{step}", self._directory / f".step-{step}.partial"
        try:
            aside.mkdir(parents=True)
            with tf.device("CPU:0"):
                tf.raw_ops.SaveV2(
                    prefix=str(aside / _VARIABLES),
                    tensor_names=list(tensors),
                    shape_and_slices=[""] * len(tensors),
                    tensors=list(tensors.values()),
                )
            if save_data is not None:
                save_data(aside / _ITERATOR)
            for file in aside.iterdir():
                sync(file)
            write_whole(aside / _STATE, self._state_text())
            if folder.exists():  # One that could not be read, or of a part that is now repeated.
                remove_folder(folder)
            aside.rename(folder)
            sync(self._directory)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def _state_text(self) -> str:
        return json.dumps(dataclasses.asdict(self.state), indent=1) + "\n"

    def _prune(self) -> None:
        steps = checkpoint_steps(self._directory)
        # Later ones than this are of a part that is now repeated.
        kept = {*[s for s in steps if s <= self.state.step][-self._keep :], self.state.best_step}
        for step in steps:
            if step not in kept:
                remove_folder(self._directory / f"step-{step}")


def checkpoint_steps(directory: Path) -> list[int]:
    """Returns the steps of the checkpoints in a folder, in order."""
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def read_state(folder: Path) -> State:
    """Returns what a checkpoint says beside its variables."""
    return State(**json.loads((folder / _STATE).read_text(encoding="utf-8")))


def load_weights(directory: Path, model: Any, which: str = "chosen") -> int:
    """Gives a model the weights of a checkpoint: their averages, where training kept some.

    Args:
        directory: The folder of the checkpoints.
        model: A Keras model.
        which: `last`, `best`, or `chosen`: what the settings chose, as far as training has come.

    Returns:
        The step of the weights.

    Raises:
        RunError: If there is none, it cannot be read, or it is of another model.
    """
    if not checkpoint_steps(directory):
        old = checkpoint_0_1_0.load_weights(directory, model)
        if old is not None:
            return old
    folder, values = read_weights(directory, which)
    weights = model.weights
    for i in range(max(len(weights), len(values))):
        ours = _described(weights[i].path, weights[i].shape) if i < len(weights) else "nothing"
        theirs = _described(values[i][0], values[i][1].shape) if i < len(values) else "nothing"
        if ours.partition(" ")[2] != theirs.partition(" ")[2]:
            raise _of_another_model(folder, theirs, ours)
    for variable, (_, value) in zip(weights, values, strict=True):
        variable.assign(value)
    return int(folder.name.rpartition("-")[2])


def read_weights(directory: Path, which: str = "chosen") -> tuple[Path, list[Weight]]:
    """Returns the folder of a checkpoint, and paths and values of its weights, in their order.

    Raises:
        RunError: If there is none or it cannot be read.
    """
    if which not in ("chosen", "best", "last"):
        raise ValueError(f"`which` must be chosen, best or last, but it is {which!r}.")
    steps = checkpoint_steps(directory)
    if not steps:
        raise RunError(f"`{directory}` holds no checkpoint yet. Continue training with --resume.")
    folder = directory / f"step-{steps[-1]}"
    try:
        state = read_state(folder)
        best = which == "best" or (which == "chosen" and state.choose == "best")
        if best and state.best_step is not None:
            folder = directory / f"step-{state.best_step}"
        weights, averages = read_group(folder, "weights"), read_group(folder, "average")
    except _UNREADABLE as error:
        raise RunError(f"The checkpoint `{folder}` cannot be read: {_line(error)}") from None
    return folder, [
        (path, averages[i][1] if i in averages else value) for i, (path, value) in weights.items()
    ]


def read_group(folder: Path, group: str) -> dict[int, tuple[str, np.ndarray]]:
    """Returns paths and values of a group of variables, by their place in it."""
    reader = tf.train.load_checkpoint(str(folder / _VARIABLES))
    found = {}
    for key in reader.get_variable_to_shape_map():
        own, place, path = key.split("/", 2)
        if own == group:
            found[int(place)] = (path, reader.get_tensor(key))
    return dict(sorted(found.items()))


def _named(groups: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    return {
        f"{group}/{place}/{_path(variable)}": tf.convert_to_tensor(_value(variable))
        for group, variables in groups.items()
        for place, variable in _placed(variables)
    }


def _placed(variables: Any) -> list[tuple[int, Any]]:
    return list(variables.items() if isinstance(variables, Mapping) else enumerate(variables))


def _value(variable: Any) -> Any:
    return getattr(variable, "value", variable) if hasattr(variable, "path") else variable


def _path(variable: Any) -> str:
    return str(getattr(variable, "path", None) or variable.name)


def _read_groups(folder: Path, groups: Mapping[str, Any]) -> list[tuple[Any, np.ndarray]]:
    values = []
    for group, variables in groups.items():
        saved, placed = read_group(folder, group), dict(_placed(variables))
        for place in sorted({*saved, *placed}):
            path, value = saved.get(place, ("", None))
            theirs = "nothing" if value is None else _described(path, value.shape)
            variable = placed.get(place)
            ours = "nothing" if variable is None else _described(_path(variable), variable.shape)
            if value is None or variable is None or tuple(variable.shape) != value.shape:
                raise _of_another_model(folder, theirs, ours, group)
            values.append((variable, value))
    return values


def _described(path: str, shape: Any) -> str:
    return f"{path} {list(shape)}"


def _of_another_model(folder: Path, theirs: str, ours: str, group: str = "weights") -> RunError:
    what = "model" if group == "weights" else "kind of training"
    return RunError(
        f"The checkpoint `{folder}` is of another {what}: among its {group} it has {theirs} where "
        f"there is {ours} now. Use the settings that it was trained with, or start from its "
        "weights with `init`."
    )


def _remove_rest(directory: Path) -> None:
    """Removes what a killed process left of checkpoints that it was writing or removing."""
    for path in directory.glob(".step-*") if directory.is_dir() else ():
        shutil.rmtree(path, ignore_errors=True)


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
