"""Runs the cells of a table, each in a process of its own, and goes on where it stopped."""

import fcntl
import json
import multiprocessing
import os
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stn_tf import quiet
from stn_tf.errors import ConfigError, RunError
from stn_tf.experiments.reproduction.results import Results, outcome_of, settings_digest
from stn_tf.experiments.settings import load_experiment
from stn_tf.paper.tables import Cell, Table

# How often a child looks whether its parent is still there.
_LOOK_SECONDS = 2.0
# What a child's exit status says: it failed, and said why; or it was stopped, with a checkpoint.
_FAILED, _STOPPED = 1, 3


def reproduce(
    table: Table,
    cells: Sequence[Cell],
    out: Path,
    *,
    source: str = "mnist",
    data_dir: Path | None = None,
    schedule: str = "short",
    seeds: int = 1,
    changes: Sequence[str] = (),
    sanity: bool = False,
    minutes: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[Results, list[str]]:
    """Runs what is missing of some cells of a table.

    Runs are in `out/runs`; each has a checkpoint every minute, so that whatever stops this, the
    next call goes on from there.

    Args:
        table: The table.
        cells: Of it, in the order in which they are run.
        out: The folder of results and runs.
        source: `mnist` or `digits`.
        data_dir: Of `mnist`.
        schedule: Of all runs.
        seeds: How many runs a cell has, with seeds from 0.
        changes: `key=value` texts that are set of all runs.
        sanity: Train only as long as shows that a cell learns at all.
        minutes: When to stop; None for when all is done, 0 for at once.
        say: Is told what happens, a line each.

    Returns:
        All results in `out`, and what is missing or failed, a line each.

    Raises:
        ConfigError: If a setting is wrong, before anything runs.
        RunError: If `out` holds other results, also of a cell with other settings; or it cannot be
            written, or is in use.
    """
    results = Results(out, table, source)
    variant = "sanity" if sanity else ",".join([f"schedule={schedule}", *sorted(changes)])
    runs = []
    for seed in range(seeds):
        for cell in cells:
            given = {
                **cell.settings,
                **({**table.sanity, **cell.sanity} if sanity else {}),
                "seed": seed,
            }
            given |= {"schedule": schedule} if not sanity else {}
            words = [*(f"{key}={_toml(value)}" for key, value in given.items()), *changes]
            if data_dir is not None:
                words.append(f"data_dir={_toml(str(data_dir))}")
            name = f"{source}-{cell.experiment}"
            config = load_experiment(name, words)
            results.check_same(cell, variant, seed, settings_digest(config))
            runs.append((cell, seed, name, words, config))
    missing = []
    end = None if minutes is None else time.monotonic() + 60.0 * minutes
    out.mkdir(parents=True, exist_ok=True)
    with _Lock(out):
        for cell, seed, name, words, config in runs:
            told = f"{cell.name}, seed {seed}"
            if results.find(cell, variant, seed):
                continue
            if end is not None and time.monotonic() >= end:
                if minutes:
                    missing.append(f"{told}: not begun")
                continue
            folder = run_folder(out, cell, variant, seed)
            say(f"{told}: {name}, {variant}")
            status = _run(name, words, folder, end)
            if status == _STOPPED or (status and end is not None and time.monotonic() >= end):
                missing.append(f"{told}: stopped before its end; call it again to go on")
            elif status:
                missing.append(f"{told}: failed with status {status}, see above")
            else:
                report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
                command = _command(name, words)
                outcome = outcome_of(table, cell, variant, report, config, command)
                results.add(outcome)
                say(f"{told}: {table.unit} {outcome.figure:.2f} after {outcome.seconds:.0f} s")
    return results, missing


def run_folder(out: Path, cell: Cell, variant: str, seed: int) -> Path:
    """Returns where a run of a table is, within the folder of its results."""
    return out / "runs" / cell.name / re.sub(r"[^\w=,.+-]", "_", variant) / f"seed-{seed}"


def _command(experiment: str, words: Sequence[str]) -> str:
    shown = [f"--set {shlex.quote(word)}" for word in words if not word.startswith("data_dir=")]
    return " ".join(["stn-tf train", experiment, *shown])


def _toml(value: Any) -> str:
    """A value as `--set` takes it: names as bare words."""
    if isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _run(experiment: str, words: Sequence[str], folder: Path, end: float | None) -> int:
    """Trains in a new process; returns its status, 0 for done."""
    # A new interpreter: what one run set in TensorFlow must not be there for the next.
    context = multiprocessing.get_context("spawn")
    arguments = (experiment, list(words), folder, os.getpid())
    process = context.Process(target=_train, args=arguments, daemon=True)
    process.start()
    try:
        process.join(None if end is None else max(end - time.monotonic(), 0.0))
        if process.is_alive():
            process.terminate()  # It writes a checkpoint first.
            process.join()
    except BaseException:
        process.terminate()
        process.join()
        raise
    return process.exitcode or 0


def _train(experiment: str, words: list[str], folder: Path, parent: int) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    quiet.import_tensorflow()
    from stn_tf.experiments import train
    from stn_tf.training import Interrupted

    folder.mkdir(parents=True, exist_ok=True)
    try:
        # A process whose parent was killed may still be writing its last checkpoint.
        with _Lock(folder, waits=True):
            train(load_experiment(experiment, [*words, "keep_checkpoints=1"]), folder, resume=True)
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(_STOPPED)
    except Exception as error:
        print(f"Error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(_FAILED)


def _follow(parent: int) -> None:
    """Stops this process, as SIGTERM does, when its parent is gone."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


class _Lock:
    """A folder that one process at a time works in; it is free again when that process is gone."""

    def __init__(self, folder: Path, *, waits: bool = False):
        self._path = folder / ".lock"
        self._how = fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB

    def __enter__(self) -> "_Lock":
        try:
            self._file = open(self._path, "w")
        except OSError as error:
            raise RunError(f"`{self._path}` cannot be written ({error.strerror}).") from None
        try:
            fcntl.flock(self._file, self._how)
        except BlockingIOError:
            self._file.close()
            raise RunError(
                f"Another process is at work in `{self._path.parent}`. Wait for it, or choose "
                "another folder with --out."
            ) from None
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def check_changes(changes: Sequence[str], table: Table) -> None:
    """Raises ConfigError where a change would undo what makes the cells differ."""
    owned = {key for cell in table.cells for key in cell.settings} | {"seed", "schedule"}
    for change in changes:
        key = change.partition("=")[0].strip()
        if key in owned:
            raise ConfigError(
                f"`{key}` cannot be set of all cells, because it is what they differ in. Choose "
                "cells with --cells, and seeds and schedule with their options."
            )
