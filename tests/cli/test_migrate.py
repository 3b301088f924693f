"""`stn-tf migrate` on a SavedModel with a compiled sampler."""

import json
from pathlib import Path

import pytest
import tensorflow as tf
from click.testing import CliRunner, Result

from stn_tf import native
from stn_tf.cli.main import main


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not native.is_available():
        pytest.skip(f"the native sampler is not there: {native.load_error()}")
    module = tf.Module()

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 6, 7, 3], name="images"),
            tf.TensorSpec([None, 4, 5, 2], name="pixels"),
        ]
    )
    def serve(images: tf.Tensor, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"crops": native.operations().addons_resampler(images, pixels)}

    module.serve = serve
    path = tmp_path_factory.mktemp("models") / "old"
    tf.saved_model.save(module, str(path), signatures=serve)
    return path


def _migrate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["migrate", *map(str, arguments)])


def test_prints_the_comparison_and_the_folder(old, tmp_path):
    result = _migrate(old, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[-2:] == ["replaced: 1 Addons>Resampler", str(tmp_path / "out" / "1")]
    for output in ("Addons>Resampler", "crops"):
        assert any(line.split()[:1] == [output] for line in lines), output
    names = {path.name for path in (tmp_path / "out" / "1").iterdir()}
    assert names >= {"saved_model.pb", "variables", "model.onnx", "assets.extra"}


def test_json(old, tmp_path):
    result = _migrate(old, "--out", tmp_path, "--json")
    answer = json.loads(result.stdout)
    assert answer["version_dir"] == str(tmp_path / "1")
    assert answer["replaced"] == {"Addons>Resampler": 1}
    assert answer["not_compared"] == []
    assert all(row["largest_difference"] <= row["tolerance"] for row in answer["parity"])
    candidates = {row["candidate"] for row in answer["parity"] if row["output"] == "crops"}
    assert candidates >= {"saved_model", "onnx_runtime", "onnx_runtime/unoptimised"}


def test_without_comparison_and_onnx(old, tmp_path):
    result = _migrate(old, "--out", tmp_path, "--no-compare", "--no-onnx")
    assert result.exit_code == 0, result.output
    assert "not compared: " in result.stdout
    assert not (tmp_path / "1" / "model.onnx").exists()


@pytest.mark.parametrize(
    ("options", "message"), [(["--signature", "rectify"], "`signature` must be one of")]
)
def test_errors_are_one_line(options, message, old, tmp_path):
    result = _migrate(old, "--out", tmp_path / "out", *options)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_nothing_to_migrate(old, tmp_path):
    assert _migrate(old, "--out", tmp_path, "--no-compare", "--no-onnx").exit_code == 0
    result = _migrate(tmp_path / "1", "--out", tmp_path / "again")
    assert result.exit_code == 1
    assert "nothing to migrate" in result.stderr


def test_no_saved_model(tmp_path):
    result = _migrate(tmp_path / "none", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert f"`{tmp_path / 'none'}` is no SavedModel" in result.stderr
    assert list(tmp_path.iterdir()) == []
