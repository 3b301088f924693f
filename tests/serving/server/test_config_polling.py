"""The file of models, changed while the server runs."""

from pathlib import Path

import pytest

from tests.serving.server.running import next_line, running, until


def _config(*models: tuple[str, Path], labels: str = "") -> str:
    entries = [
        f'  config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" {labels}}}'
        for name, path in models
    ]
    return "\n".join(["model_config_list {", *entries, "}"])


@pytest.fixture
def served(base_path, tmp_path):
    file = tmp_path / "models.config"
    file.write_text(_config(("first", base_path)))
    with running(
        *("--model_config_file", file, "--model_config_file_poll_wait_seconds", "0.05"),
    ) as server:
        yield server, file


def _names(server) -> list[str]:
    return [model["name"] for model in server.call("/v1/models")[1]["models"]]


def _replace(file: Path, text: str) -> None:
    aside = file.with_suffix(".new")
    aside.write_text(text)
    aside.rename(file)


def test_models_come_and_go(served, base_path):
    server, file = served
    _replace(file, _config(("first", base_path), ("second", base_path)))
    until(lambda: server.call("/readyz")[0] == 200 and _names(server) == ["first", "second"])
    assert server.call("/v1/models/second")[0] == 200
    _replace(file, _config(("second", base_path), labels='version_labels { key: "x" value: 3 } '))
    until(lambda: _names(server) == ["second"])
    until(lambda: server.call("/v1/models/second/labels/x")[0] == 200)
    body = {"instances": [[[[0.0]] * 8] * 9]}
    assert server.call("/v1/models/first:predict", body)[0] == 404
    assert server.call("/v1/models/second/labels/x:predict", body)[0] == 200


def test_a_damaged_file_is_said_once_and_changes_nothing(served, base_path):
    server, file = served
    for text, words in [
        ("model_config_list {", "Error parsing text-format"),
        ("", "The file lists no models; those before it stay."),
        (_config(("first", Path("relative"))), "must be an absolute path"),
        (_config(("first", base_path), ("first", base_path)), "Illegal to list model first"),
    ]:
        _replace(file, text)
        line = next_line(server)
        assert words in line
        assert str(file) in line
        assert server.call("/v1/models/first")[0] == 200
    file.unlink()
    assert "cannot be read: No such file or directory" in next_line(server)
    _replace(file, _config(("first", base_path), ("second", base_path)))
    until(lambda: _names(server) == ["first", "second"])
    server.process.terminate()
    # Each was said once: nothing is left.
    assert server.process.communicate(timeout=120)[1] == ""


def test_a_model_that_comes_later_is_waited_for(served, base_path, tmp_path):
    server, file = served
    late = tmp_path / "late"
    label = 'version_labels { key: "stable" value: 3 } '
    _replace(file, _config(("first", base_path), ("late", late), labels=label))
    assert "late" in next_line(server)
    assert server.call("/v1/models/first")[0] == 200
    assert server.call("/readyz")[0] == 503
    late.symlink_to(base_path)
    until(lambda: server.call("/v1/models/late/labels/stable")[0] == 200)
    until(lambda: server.call("/readyz")[0] == 200)


def test_without_polling_the_file_is_read_once(base_path, tmp_path):
    file = tmp_path / "models.config"
    file.write_text(_config(("first", base_path)))
    with running("--model_config_file", file) as server:
        file.write_text("nonsense")
        for _ in range(20):
            assert _names(server) == ["first"]
        server.process.terminate()
        assert server.process.communicate(timeout=120)[1] == ""
