"""SavedModels that cannot be rescued, or not wholly, and what is said of them."""

import os
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from stn_tf import native
from stn_tf.errors import ExportError, ModelError, ParityError
from stn_tf.export.migration import resampler_nodes
from stn_tf.export.migration.rescue import migrate
from tests.export.resampler_models import IMAGES, PIXELS, edit, resampler, resampler_gradient, saved


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    if not native.is_available():
        pytest.skip(f"the native sampler is not there: {native.load_error()}")


def test_a_wrong_replacement_is_not_written(tmp_path, monkeypatch):
    right = resampler_nodes.resample
    monkeypatch.setattr(resampler_nodes, "resample", lambda i, p: right(i, p + 0.001))
    old = saved(tmp_path / "old", resampler, IMAGES, PIXELS)
    seen = []
    with pytest.raises(ParityError, match="Nothing was written"):
        migrate(old, tmp_path / "out", on_parity=seen.append)
    assert any(not row.passed for row in seen[0])
    assert not (tmp_path / "out").exists()


def test_without_the_compiled_sampler(tmp_path, monkeypatch):
    old = saved(tmp_path / "old", resampler, IMAGES, PIXELS)
    monkeypatch.setattr(native, "load_error", lambda: "it was not built")
    with pytest.raises(ExportError, match=r"it was not built. Leave .* --no-compare"):
        migrate(old, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    result = migrate(old, tmp_path / "out", compare=False)
    assert result.parity == ()
    assert "left out" in result.not_compared[0]
    assert (result.version_dir / "model.onnx").is_file()


def stock(images: tf.Tensor, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"crops": images * tf.reduce_mean(pixels)}


def calls_python(images: tf.Tensor, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    doubled = tf.numpy_function(lambda x: x * 2, [images], tf.float32)
    return {
        "crops": native.operations().addons_resampler(
            tf.ensure_shape(doubled, IMAGES.shape), pixels
        )
    }


def as_foreign(node: Any) -> None:
    node.op = node.op.replace("Addons>Resampler", "Addons>Foreign")


def without_variables(folder: Path) -> None:
    (folder / "variables" / "variables.index").write_bytes(b"")


@pytest.mark.parametrize(
    ("function", "damage", "error", "message"),
    [
        (stock, None, ExportError, "nothing to migrate"),
        (calls_python, None, ExportError, "calls Python .PyFunc, "),
        (resampler_gradient, None, ExportError, "serving_default computes the gradient"),
        (resampler, lambda f: edit(f, as_foreign), ExportError, "uses Addons>Foreign .*in the"),
        (resampler, lambda f: os.truncate(f / "saved_model.pb", 1000), ModelError, "is damaged"),
        (resampler, lambda f: os.truncate(f / "saved_model.pb", 0), ModelError, "is damaged"),
        (resampler, lambda f: (f / "saved_model.pb").unlink(), ModelError, "is no SavedModel"),
        (resampler, without_variables, ModelError, "does not load"),
    ],
)
def test_refused(function, damage, error, message, tmp_path):
    variable = tf.Variable(1.0)
    old = saved(tmp_path / "old", function, IMAGES, PIXELS, variable=variable)
    if damage is not None:
        damage(old)
    with pytest.raises(error, match=message) as caught:
        migrate(old, tmp_path / "deep" / "out")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_signature_that_is_not_there(tmp_path):
    old = saved(tmp_path / "old", resampler, IMAGES, PIXELS)
    with pytest.raises(ExportError, match="`signature` must be one of serving_default, but it is"):
        migrate(old, tmp_path / "out", signature="rectify")
    assert not (tmp_path / "out").exists()


def test_input_that_cannot_be_made_up(tmp_path):
    def named(images: tf.Tensor, pixels: tf.Tensor, name: tf.Tensor) -> dict[str, tf.Tensor]:
        return resampler(images, pixels) | {"name": tf.identity(name)}

    old = saved(tmp_path / "old", named, IMAGES, PIXELS, tf.TensorSpec([None], tf.string, "name"))
    with pytest.raises(ExportError, match=r"`name` cannot be made up, .* --no-compare"):
        migrate(old, tmp_path / "out", onnx=False)
    assert not (tmp_path / "out").exists()


def test_other_signature_that_cannot_be_compared(tmp_path):
    module = tf.Module()
    module.serve = tf.function(resampler, input_signature=[IMAGES, PIXELS])
    spec = tf.TensorSpec([None], tf.string, "name")
    module.echo = tf.function(lambda name: {"name": tf.identity(name)}, input_signature=[spec])
    signatures = {"serving_default": module.serve, "echo": module.echo}
    tf.saved_model.save(module, str(tmp_path / "old"), signatures=signatures)
    result = migrate(tmp_path / "old", tmp_path / "out")
    assert "crops" in {row.output for row in result.parity}
    (reason,) = result.not_compared
    assert reason.startswith("the signature echo: the input `name` cannot be made up")


def test_out_cannot_be_written(tmp_path):
    old = saved(tmp_path / "old", resampler, IMAGES, PIXELS)
    (tmp_path / "out").touch()
    with pytest.raises(ExportError, match="cannot be written"):
        migrate(old, tmp_path / "out")
