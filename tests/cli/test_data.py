"""`stn-tf data` and `stn-tf data pack`."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from stn_tf.cli.data import COMMANDS
from stn_tf.cli.main import main
from stn_tf.data import load_collection
from tests.data.trees import write_tree


def test_help_names_every_command() -> None:
    result = CliRunner().invoke(main, ["data", "--help"])
    assert result.exit_code == 0
    for name, text in COMMANDS.items():
        assert f"  {name} " in result.output
        assert text in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_has_an_example(name: str) -> None:
    result = CliRunner().invoke(main, ["data", name, "--help"])
    assert result.exit_code == 0
    assert f"stn-tf data {name} " in result.output.split("Example", 1)[1]
    # The line in the list of commands begins the command's own help.
    assert COMMANDS[name] in result.output


def test_pack(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "photographs", {"cat": 10, "dog": 10})
    out = tmp_path / "packed"
    arguments = ["data", "pack", str(folder), "--out", str(out)]
    done = CliRunner().invoke(main, [*arguments, "--test-share", "0.4"])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out}: 20 images in 3 shards, 0.0 MiB\n"
    assert "20 images of 2 classes: 10 to train on, 2 to choose by, 8 to report on." in done.stderr
    packed = load_collection(out)
    assert (len(packed.train), len(packed.test)) == (10, 8)
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 1
    assert again.stderr.splitlines()[-1].startswith(f"Error: {out} is there already. Choose")


def test_pack_in_shards_of_a_size(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "photographs", {"train/cat": 6, "train/dog": 6, "val/dog": 2})
    out = tmp_path / "packed"
    arguments = ["--shard-megabytes", "0.001", "--data", "folder"]
    done = CliRunner().invoke(main, ["data", "pack", str(folder), "--out", str(out), *arguments])
    assert done.exit_code == 0, done.output
    assert "14 images in " in done.stdout
    assert len(list(out.glob("train-*"))) > 1
    assert "The result is measured on val/" in done.stderr


def test_wrong_data_is_one_line(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "photographs", {"train/cat": 3, "val/cat": 3, "cats": 2})
    out = str(tmp_path / "packed")
    done = CliRunner().invoke(main, ["data", "pack", str(folder), "--out", out])
    assert done.exit_code == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"Error: {folder} is half a split: beside train/, val/ there are")
    wrong = CliRunner().invoke(main, ["data", "pack", str(folder), "--out", out, "--data", "zip"])
    assert wrong.exit_code == 1
    assert "`data` must be one of auto, folder, cub, table, tfrecord" in wrong.stderr
    assert CliRunner().invoke(main, ["data", "pack", str(folder)]).exit_code == 2
