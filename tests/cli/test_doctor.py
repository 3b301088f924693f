"""`stn-tf doctor`."""

import json

import pytest
from click.testing import CliRunner

from stn_tf import native
from stn_tf.cli.main import main
from stn_tf.sampling import choice


@pytest.mark.parametrize("wish", [None, "portable"])
def test_doctor_says_which_sampler_is_in_use(
    wish: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(choice.VARIABLE, raising=False)
    if wish is not None:
        monkeypatch.setenv(choice.VARIABLE, wish)
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    sampler = json.loads(result.output)["sampler"]
    expected = "native" if native.is_available() and wish is None else "portable"
    assert sampler["eager_calls"].split(":")[0] == expected
    assert sampler["training_and_evaluation"].split(":")[0] == expected
    assert sampler["other_graphs"].startswith("portable: ")
    if wish is not None and native.is_available():
        assert "STN_TF_SAMPLER=portable" in sampler["eager_calls"]


def test_doctor_for_people() -> None:
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert "tensorflow " in result.output
    assert "STN_TF_SAMPLER" in result.output
