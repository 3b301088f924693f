import json
import tomllib

import pytest
from click.testing import CliRunner

from stn_tf.cli.main import main
from stn_tf.experiments import EXPERIMENTS

# Seconds, not minutes; in this process, so without deterministic operations for other tests.
_TINY = ["--set", "steps=2", "--set", "batch_size=8", "--set", "deterministic=false"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiny"
    options = ["--model", "st-fcn-affine", "--on-nan", "skip", "--strategy", "one"]
    arguments = ["train", "digits-r", *options, *_TINY, "--out", str(out)]
    return out, CliRunner().invoke(main, arguments)


def test_result_on_stdout_and_progress_on_stderr(trained):
    out, result = trained
    assert result.exit_code == 0, result.output
    report = json.loads((out / "report.json").read_text())
    error = f"{report['error_percent']:.2f}"
    assert result.stdout.startswith(f"Test error {error} % of 359 images after 2 steps in ")
    assert result.stdout.endswith(f"Run: {out}\n")
    lines = result.stderr.splitlines()
    # The device first, then what happens, and what to do with it.
    assert lines[0] == "digits-r"
    assert lines[1].startswith("Device: ")
    assert any(line.startswith("step 2/2  loss ") for line in lines)
    assert lines[-4] == f"Look at {out / 'report.html'}. Next:"
    assert lines[-3:] == [
        f"  stn-tf evaluate {out}",
        f"  stn-tf export {out} --out exports/{out.name}",
        f"  stn-tf predict exports/{out.name} IMAGES --output predictions.csv",
    ]
    assert report["model"] == "st-fcn-affine"
    assert (out / "report.html").is_file()


def test_json_is_the_report(trained):
    out, _ = trained
    arguments = ["train", str(out / "config.toml"), "--resume", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((out / "report.json").read_text())


def test_options_are_settings(trained, tmp_path, monkeypatch):
    """The error of a name that is no network, or of a folder that is none, names what was given."""
    out, _ = trained
    settings = tomllib.loads((out / "config.toml").read_text())
    assert (settings["model"], settings["on_nan"], settings["strategy"]) == (
        "st-fcn-affine",
        "skip",
        "one",
    )
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["train", "mnist-r", "--data-dir", "2015", *_TINY])
    assert result.exit_code == 1
    assert "2015" in result.stderr
    result = CliRunner().invoke(main, ["train", str(out / "config.toml"), "--model", "fnc"])
    assert result.exit_code == 1
    assert "Did you mean `fcn`?" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits-rst"], "Did you mean `digits-rts`?"),
        (["digits-rts", "--set", "stps=3"], "`stps` is not a setting. Did you mean `steps`?"),
        (["digits-rts", "--set", "steps=x"], "`steps` must be a valid integer, but it is 'x'."),
        (["folder", "--set", "deterministic=false"], "Add `--data-dir DIR`."),
    ],
)
def test_bad_input_is_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["train", *arguments])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


def test_existing_run_is_refused(trained):
    out, _ = trained
    result = CliRunner().invoke(main, ["train", str(out / "config.toml"), "--out", str(out)])
    assert result.exit_code == 1
    assert f"Error: `{out}` already holds a run. Continue it with --resume" in result.stderr


def test_weights_to_start_with_that_are_none(tmp_path):
    (tmp_path / "notes.txt").write_text("no weights")
    arguments = ["train", "digits-r", *_TINY, "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(main, [*arguments, "--init", str(tmp_path / "notes.txt")])
    assert (result.exit_code, result.stdout) == (1, "")
    notes = tmp_path / "notes.txt"
    assert result.stderr.startswith(f"Error: `init` {notes} cannot be loaded as a Keras model: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_usage_errors_exit_2(tmp_path):
    for arguments in (
        [],
        ["digits-r", "--strategy", "ps"],
        ["digits-r", "--on-nan", "ignore"],
        ["digits-r", "--init", str(tmp_path / "none")],
    ):
        assert CliRunner().invoke(main, ["train", *arguments]).exit_code == 2


def test_help_has_runnable_examples():
    result = CliRunner().invoke(main, ["train", "--help"])
    assert result.exit_code == 0
    examples = [line.split()[2] for line in result.output.splitlines() if "  stn-tf train" in line]
    assert len(examples) >= 4
    assert all(name in EXPERIMENTS or name.endswith(".toml") for name in examples)
