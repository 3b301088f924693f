"""`stn-tf serve`: what it refuses before anything is served. The server: tests/serving/server."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from stn_tf.cli.serve import command


def test_every_option_is_in_the_documentation(root: Path) -> None:
    text = (root / "docs" / "serving.md").read_text(encoding="utf-8")
    names = [name for option in command.params for name in option.opts if name.startswith("--")]
    assert len(names) > 30
    assert [name for name in names if name not in text] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Give a DIR, --model_base_path or --model_config_file."),
        (["DIR", "--model_config_file", "models.config"], "names all models"),
        (["DIR", "--request_log_sampling", "2"], "'--request_log_sampling': 2.0 is not in"),
        (["DIR", "--engine", "caffe"], "'caffe' is not one of"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert message in result.stderr
