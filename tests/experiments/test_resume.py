"""Runs that are stopped, killed and resumed. Each process trains for real."""

import json
import signal
import time

import pytest

from stn_tf.errors import RunError
from stn_tf.experiments import Run, load_experiment, train
from stn_tf.experiments.report import weights_sha256


def _wait_for(run, step, process):
    """Waits until the metrics have a line of this step or a later one."""
    while process.poll() is None:
        metrics = run / "metrics.jsonl"
        lines = metrics.read_text().split("\n")[:-1] if metrics.exists() else []
        if lines and json.loads(lines[-1])["step"] >= step:
            return
        time.sleep(0.01)
    pytest.fail(f"The process ended before step {step}: {process.communicate()}")


def _figures(run):
    """What the metrics say, but for speed."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]


def _same_outcome(run, other):
    assert weights_sha256(Run(run).load_model()) == weights_sha256(Run(other).load_model())
    reports = [Run(path).report for path in (run, other)]
    for key in ("error_percent", "validation_error_percent", "weights_sha256"):
        assert reports[0][key] == reports[1][key]
    assert _figures(run) == _figures(other)


def test_killed_and_resumed_run_ends_the_same(
    tmp_path, tiny_arguments, stn_tf_process, finish, undisturbed
):
    run = tmp_path / "run"
    process = stn_tf_process(*tiny_arguments, "--out", run)
    _wait_for(run, 25, process)
    process.send_signal(signal.SIGKILL)
    assert finish(process)[0] == -signal.SIGKILL
    assert not (run / "report.json").exists()
    code, stdout, error = finish(stn_tf_process(*tiny_arguments, "--out", run, "--resume"))
    assert code == 0, error
    assert json.loads(stdout) == Run(run).report
    _same_outcome(run, undisturbed)


def test_signals_stop_after_a_checkpoint(
    tmp_path, tiny_arguments, stn_tf_process, finish, undisturbed
):
    run = tmp_path / "run"
    resume = ["train", run / "config.toml", "--resume", "--json"]
    process = stn_tf_process(*tiny_arguments, "--out", run)
    for step, number, code in ((5, signal.SIGINT, 130), (33, signal.SIGTERM, 143)):
        _wait_for(run, step, process)
        process.send_signal(number)
        result, stdout, message = finish(process)
        assert (result, stdout) == (code, "")
        stopped = int(message.split()[3])
        assert message == (
            f"Stopped after step {stopped} by {number.name}. Continue with: "
            f"stn-tf train {run}/config.toml --resume"
        )
        assert stopped >= step
        assert (run / "checkpoints" / f"step-{stopped}.index").exists()
        process = stn_tf_process(*resume)
    assert finish(process)[0] == 0
    _same_outcome(run, undisturbed)


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
    with pytest.raises(RunError, match=r"The loss is nan after step \d+, .* `learning_rate`"):
        train(config, tmp_path / "run", progress=False)
