"""Tables from real runs: what is kept, what is gone on with, and what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stn_tf.errors import RunError
from stn_tf.experiments import load_experiment
from stn_tf.experiments.reproduction import Results, markdown, reproduce
from stn_tf.experiments.reproduction.results import FORMAT, Outcome, outcome_of, settings_digest
from stn_tf.experiments.reproduction.table import failed_sanity
from stn_tf.paper.tables import get_table

ROOT = Path(__file__).parents[2]
TABLE = get_table("distorted")
CELL = "r/st-fcn-affine"
SMALL = ("--source", "digits", "--cells", CELL, "--set", "batch_size=16", "--set", "warmup_steps=1")


def start(out: Path, *more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "stn_tf.cli.main", "reproduce", "distorted"]
    return subprocess.Popen(
        [*command, "--out", str(out), *SMALL, *more],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]", status: int = 0) -> tuple[str, str]:
    out, errors = process.communicate(timeout=300)
    assert process.returncode == status, errors
    return out, errors


def outcome(cell: str = "r/cnn", seed: int = 0, figure: float = 1.5, **more: Any) -> Outcome:
    given: dict[str, Any] = {
        "cell": cell, "seed": seed, "variant": "schedule=short", "figure": figure, "steps": 1500,
        "images": 384_000, "seconds": 450.0, "parameters": 400_000, "command": "stn-tf train x",
        "settings": "0", "device": "CPU", "stn_tf": "0.1.0", **more,
    }  # fmt: skip
    return Outcome(**given)


@pytest.mark.slow
def test_a_table_is_run_once_and_killing_loses_nothing(tmp_path: Path) -> None:
    """Killed without warning in the middle; then gone on with; then there is nothing to do."""
    steps = ("--set", "steps=4000", "--set", "checkpoint_every=50", "--set", "evaluate_every=4000")
    run = tmp_path / "runs" / CELL
    killed = start(tmp_path, *steps)
    deadline = time.monotonic() + 200
    while not list(run.glob("*/seed-0/checkpoints/step-*")):
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not Results(tmp_path, TABLE, "digits").outcomes

    _, errors = finish(start(tmp_path, *steps))
    assert "Continuing after step" in errors
    (found,) = Results(tmp_path, TABLE, "digits").outcomes
    assert (found.cell, found.seed, found.steps, found.images) == (CELL, 0, 4000, 64_000)
    assert "--set steps=4000" in found.command
    assert f"{found.figure:.2f} (1.2)" in (tmp_path / "results.md").read_text()
    assert (tmp_path / "distorted.png").exists()

    out, errors = finish(start(tmp_path, *steps, "--json"))
    assert "step 1/" not in errors
    assert json.loads(out)["outcomes"][0]["figure"] == found.figure


@pytest.mark.slow
def test_a_budget_stops_with_a_checkpoint(tmp_path: Path) -> None:
    """What is not done is named, and is no failure."""
    _, errors = finish(start(tmp_path, "--budget", "0.5", "--set", "steps=100000", "--seeds", "2"))
    assert f"{CELL}, seed 0: stopped before its end" in errors
    assert f"{CELL}, seed 1: not begun" in errors
    assert list((tmp_path / "runs" / CELL).glob("*/seed-0/checkpoints/step-*"))


def test_markdown_shows_means_and_what_was_not_run(tmp_path: Path) -> None:
    results = Results(tmp_path, TABLE, "mnist")
    results.add(outcome(figure=1.5))
    results.add(outcome(figure=1.9, seed=1))
    results.add(outcome(figure=0.9, variant="schedule=long", images=2_048_000, steps=8000))
    results.add(outcome("tc/fcn", figure=95.0, variant="sanity", bound=50.0))
    text = markdown(Results(tmp_path, TABLE, "mnist"))
    assert "| cnn | 0.90 (1.2) | not run (0.8) |" in text
    assert "| r/cnn | 1.70 ± 0.28 | 1.2 | 0, 1 | 1 % | 7.5 | 400,000 | `stn-tf train x` |" in text
    assert "95.00 (must be below 50: NO)" in text
    assert "| fcn | not run (2.1) |" in text
    assert failed_sanity(results) == ["tc/fcn: 95.00, but a sanity run must reach 50"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format": FORMAT + 1}, f"format {FORMAT + 1} instead of {FORMAT}"),
        ({"table": "addition"}, "table 'addition' instead of 'distorted'"),
        ({"source": "digits"}, "source 'digits' instead of 'mnist'"),
    ],
)
def test_results_of_another_kind_exception_raised(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    Results(tmp_path, TABLE, "mnist").add(outcome())
    path = tmp_path / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    before = path.read_bytes()
    with pytest.raises(RunError, match=named):
        Results(tmp_path, TABLE, "mnist")
    assert path.read_bytes() == before


def test_results_of_other_settings_exception_raised(tmp_path: Path) -> None:
    """Such as a schedule that changed since: they are neither shown as these, nor lost."""
    command = ["seed=0", "model=cnn", 'schedule="short"']
    now = settings_digest(load_experiment("mnist-r", command))
    kept = {"source": "mnist", "minutes": 0}
    cells = TABLE.chosen(["r/cnn"])
    Results(tmp_path, TABLE, "mnist").add(outcome(settings=now))
    results, missing = reproduce(TABLE, cells, tmp_path, **kept)
    assert (len(results.outcomes), missing) == (1, [])
    # How often it is logged and kept, and where the data is, makes no other run.
    same = ["log_every=7", "checkpoint_minutes=5", f'data_dir="{tmp_path}"']
    assert settings_digest(load_experiment("mnist-r", [*command, *same])) == now
    for change in ("weight_decay=0", "batch_size=32", "seed=1", "theta_loss=1"):
        then = settings_digest(load_experiment("mnist-r", [*command, change]))
        assert then != now
    Results(tmp_path, TABLE, "mnist").add(outcome(settings=then))
    before = (tmp_path / "results.json").read_bytes()
    with pytest.raises(RunError, match=r"holds r/cnn of other settings .* 0\.1\.0.* --out"):
        reproduce(TABLE, cells, tmp_path, **kept)
    assert (tmp_path / "results.json").read_bytes() == before


def test_damaged_results_exception_raised(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"format": 2, "table"')
    with pytest.raises(RunError, match="cannot be read as results"):
        Results(tmp_path, TABLE, "mnist")


def test_report_without_the_figure_exception_raised() -> None:
    cell = TABLE.cells[0]
    report: dict[str, Any] = {"error_percent": None, "test": {"loss": 1.0}}
    config = load_experiment("mnist-r", [])
    with pytest.raises(RunError, match="has no error_percent"):
        outcome_of(TABLE, cell, "sanity", report, config, "")


def test_two_at_once_exception_raised(tmp_path: Path) -> None:
    import fcntl

    with open(tmp_path / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _, errors = finish(start(tmp_path), status=1)
    assert "Another process is at work" in errors


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--set", "model=cnn"], "`model` cannot be set of all cells"),
        (["--set", "learning_rat=1"], "Did you mean `learning_rate`"),
        (["--cells", "r/st-fcn-affin"], "Did you mean `r/st-fcn-affine`"),
    ],
)
def test_wrong_options_exception_raised(tmp_path: Path, more: list[str], named: str) -> None:
    _, errors = finish(start(tmp_path / "out", *more), status=1)
    assert named in errors
    assert not (tmp_path / "out").exists()
