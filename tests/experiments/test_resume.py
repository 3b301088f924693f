"""Runs that are stopped, killed and resumed. Each process trains for real."""

import json
import random
import signal

import pytest

from stn_tf.errors import RunError
from stn_tf.experiments import Run, load_experiment, train
from stn_tf.experiments.report import weights_sha256
from tests.experiments.kill_many import arguments, kill, outcome, steps_of, wait_for_step


@pytest.mark.slow
def test_a_signal_does_not_change_the_outcome(
    tmp_path, tiny_arguments, stn_tf_process, finish, undisturbed
):
    run = tmp_path / "run"
    given = [*tiny_arguments, "--out", run]
    process = stn_tf_process(*given)
    assert wait_for_step(run, 3, process), process.communicate()
    process.send_signal(signal.SIGTERM)
    code, stdout, message = finish(process)
    assert (code, stdout) == (143, "")
    stopped = int(message.split()[3])
    assert message == (
        f"Stopped after step {stopped} by SIGTERM. Continue with: "
        f"stn-tf train {run}/config.toml --resume"
    )
    assert stopped >= 3
    assert (run / "checkpoints" / f"step-{stopped}" / "state.json").exists()
    assert not (run / "report.json").exists()
    code, stdout, error = finish(stn_tf_process("train", run / "config.toml", "--resume", "--json"))
    assert code == 0, error
    assert json.loads(stdout) == Run(run).report
    assert outcome(run) == outcome(undisturbed)
    assert weights_sha256(Run(run).load_model()) == Run(undisturbed).report["weights_sha256"]


@pytest.mark.slow
def test_a_killed_run_on_a_folder_ends_the_same(tmp_path, birds, stn_tf_process, finish):
    """Killed while it writes a checkpoint; augmented, with a backbone and averaged weights."""
    settings = [
        "image_size=32",
        "batch_size=6",
        "steps=9",
        "backbone=small",
        "ema=0.9",
        "log_every=1",
        "evaluate_every=4",
        "checkpoint_every=3",
    ]
    given = arguments("folder", settings, "--data-dir", birds)
    alone, run = tmp_path / "alone", tmp_path / "run"
    code, _, error = finish(stn_tf_process(*given, "--out", alone))
    assert code == 0, error
    chance = random.Random(11)
    assert kill([*given, "--out", str(run)], run, chance, writing=True, begin=stn_tf_process)
    assert 0 < steps_of(run) < 9
    code, _, error = finish(stn_tf_process(*given, "--out", run, "--resume"))
    assert code == 0, error
    assert outcome(run) == outcome(alone)


def test_existing_run_is_refused_without_resume(tiny_run):
    with pytest.raises(RunError, match=r"already holds a run\. Continue it with --resume"):
        train(tiny_run.config, tiny_run.path, progress=False)


def test_finished_run_only_returns_its_report(tiny_run):
    report = train(tiny_run.config, tiny_run.path, resume=True, progress=False)
    assert report.weights_sha256 == tiny_run.report["weights_sha256"]


def test_resume_with_other_settings_is_refused_naming_them(tiny_run):
    config = tiny_run.config.model_copy(update={"seed": 4, "learning_rate": 0.5})
    with pytest.raises(RunError) as caught:
        train(config, tiny_run.path, resume=True, progress=False)
    assert str(caught.value).startswith(
        f"`{tiny_run.path}` was started with other settings: `learning_rate` 0.001 (now 0.5), "
        "`seed` 0 (now 4). Resume with the same"
    )


def test_failed_start_writes_nothing(tmp_path, tiny_settings):
    out = tmp_path / "run"
    settings = [*tiny_settings, "deterministic=false"]
    config = load_experiment("folder", [*settings, f"data_dir={tmp_path / 'none'}"])
    with pytest.raises(Exception, match="none"):
        train(config, out, progress=False)
    config = load_experiment("digits-r", [*settings, "model=st-cnn-afine"])
    with pytest.raises(ValueError, match=r"Did you mean `st-cnn-affine`\?"):
        train(config, out, progress=False)
    assert not out.exists()
    out.write_text("a file")
    with pytest.raises(RunError, match="is a file, but a run needs a folder"):
        train(config, out, progress=False)


def test_loss_that_is_not_finite_stops_with_a_cure(tmp_path, tiny_settings):
    settings = ["optimizer=sgd", "learning_rate=1e30", "deterministic=false"]
    config = load_experiment("digits-r", [*tiny_settings, "model=fcn", *settings])
    message = r"(The loss is nan|Weights are no numbers) after step \d+, .* Lower `learning_rate`"
    with pytest.raises(RunError, match=message):
        train(config, tmp_path / "run", progress=False)
