"""Functions of the user's own, and every way in which a name of one can be wrong."""

from pathlib import Path
from typing import Any

import pytest

from stn_tf.errors import ConfigError
from stn_tf.experiments.hooks import call_hook, is_hook

OWN = "tests.experiments.own_functions"
OFFERED: dict[str, Any] = {"input_shape": (4, 4, 1), "classes": 2, "class_names": (), "seed": 5}


def test_a_colon_makes_a_hook() -> None:
    assert is_hook("package.module:function")
    assert not is_hook("classifier")


def test_a_function_gets_what_it_has_parameters_for() -> None:
    model = call_hook("model", f"{OWN}:linear", **OFFERED)
    assert model.output_shape == (None, 2)
    assert call_hook("model", f"{OWN}:takes_anything", **OFFERED).output_shape == (None, 2)


def test_the_current_folder_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_of_this_test.py").write_text(
        "class Nets:\n"
        "    @staticmethod\n"
        "    def build(seed, depth=3):\n"
        "        return seed, depth\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # Undone after the test, as the hook's own is not.
    assert call_hook("model", "mine_of_this_test:Nets.build", **OFFERED) == (5, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "no.such:thing",
            "`model` must be package.module:function, importable from here, but 'no.such:thing' "
            "cannot be loaded: No module named 'no'.",
        ),
        (
            f"{OWN}:missing",
            f"`model` must be package.module:function, importable from here, but '{OWN}:missing' "
            f"cannot be loaded: module '{OWN}' has no attribute 'missing'.",
        ),
        (
            f"{OWN}:",
            f"`model` must be package.module:function, importable from here, but '{OWN}:' "
            f"cannot be loaded: module '{OWN}' has no attribute ''.",
        ),
        (
            ":linear",
            "`model` must be package.module:function, importable from here, but ':linear' "
            "cannot be loaded: Empty module name.",
        ),
        (f"{OWN}:NUMBER", f"`model` must name a function, but {OWN}:NUMBER is 3."),
        (
            f"{OWN}:wants_more",
            f"`model` {OWN}:wants_more wants the arguments width, depth, but may only have "
            "input_shape, classes, class_names, seed. Give the others defaults.",
        ),
    ],
)
def test_a_wrong_name_exception_raised(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call_hook("model", text, **OFFERED)
    assert str(caught.value) == message
