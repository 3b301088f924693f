"""The command as a whole: help, errors and exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from stn_tf.cli.main import COMMANDS, main


def stn_tf(*arguments: str, cwd: Path, root: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", "from stn_tf.cli.main import main; main()", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name, text in COMMANDS.items():
        assert f"  {name} " in result.output
        assert text in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_an_example(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert f"stn-tf {name} " in result.output.split("Example", 1)[1]
    # The line in the list of commands is the first line of the command's own help.
    assert COMMANDS[name] in result.output


def test_every_command_is_in_the_readme(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"stn-tf {name}" in text or name == "demo"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "nothing", "--out", "out"], "`nothing` is no run folder"),
        (["evaluate", "nothing"], "`nothing` is no run folder"),
        (["predict", "nothing", "x.png", "--output", "x.csv"], "`nothing` does not exist"),
        (["plot", "nothing", "x.png", "--output", "x.png"], "`nothing` does not exist"),
        (["train", "digits-rst"], "digits-rts"),
        (["train", "mnist-rts", "--data-dir", "nothing"], "nothing"),
    ],
)
def test_an_error_is_one_line(
    arguments: list[str], message: str, root: Path, tmp_path: Path
) -> None:
    done = stn_tf(*arguments, cwd=tmp_path, root=root)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error: ")
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_trace(root: Path, tmp_path: Path) -> None:
    done = stn_tf(
        "--debug", "predict", "none", "x.png", "--output", "x.csv", cwd=tmp_path, root=root
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "ModelError" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["trian"], ["predict"], ["predict", "a", "b", "--output", "rows.txt"]]
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2
