"""Finding and running exported models, with both engines."""

import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from stn_tf.errors import InputError, ModelError
from stn_tf.serving.models import find_version, load_engine, versions
from tests.serving import handmade


@pytest.mark.parametrize("engine", ["onnx", "saved_model"])
@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_run_equals_the_live_model(
    engine: str, count: int, model_dir: Path, images: np.ndarray, expected: dict
) -> None:
    outputs = load_engine(model_dir, engine).run(images[:count].astype(np.float32) / 255.0)
    names = {"logits", "probabilities", "class", "theta", "corners", "crops"}
    assert set(outputs) == names
    np.testing.assert_allclose(outputs["logits"], expected["logits"][:count], atol=1e-4)
    np.testing.assert_allclose(outputs["theta"], expected["theta"][:count], atol=1e-5)
    exponentials = np.exp(expected["logits"][:count])
    shares = exponentials / exponentials.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(outputs["probabilities"], shares, atol=1e-4)
    assert outputs["corners"].shape == (count, 4, 2)


def test_auto_prefers_onnx(model_dir: Path, tmp_path: Path) -> None:
    assert load_engine(model_dir).name == "onnx"
    shutil.copytree(model_dir / "1", tmp_path / "1")
    (tmp_path / "1" / "model.onnx").unlink()
    assert load_engine(tmp_path).name == "saved_model"


def test_onnx_engine_does_not_import_tensorflow(model_dir: Path, root: Path) -> None:
    script = (
        "import sys, numpy\n"
        "from stn_tf.serving.models import load_engine\n"
        f"load_engine({str(model_dir)!r}).run(numpy.zeros((1, 14, 12, 1), 'float32'))\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root)


def test_wrong_shape_exception_raised(model_dir: Path) -> None:
    with pytest.raises(InputError) as raised:
        load_engine(model_dir).run(np.zeros((1, 12, 14, 1), np.float32))
    assert str(raised.value) == (
        "`images` must have shape [N, 14, 12, 1], but it has shape [1, 12, 14, 1]."
    )


@pytest.mark.parametrize(
    ("spec", "given", "fits"),
    [
        ("RGB", "float64", True),
        ("RGB", "float16", True),
        ("RGB", "uint8", False),
        ("RGB", "int64", False),
        ("BYTES", "uint8", True),
        ("BYTES", "float32", False),
        ("BYTES", "int64", False),  # Not every one of them is a byte.
        ("BYTES", "bool", True),
    ],
)
def test_types_become_others_only_without_loss(
    spec: str, given: str, fits: bool, tmp_path: Path
) -> None:
    model = handmade.softmax(tmp_path / "model", getattr(handmade, spec))
    images = np.random.default_rng(0).integers(0, 2, (3, 6, 5, 3)).astype(given)
    engine = load_engine(model.path)
    if fits:
        found = engine.run(images)
        for name, value in model.truth(images).items():
            np.testing.assert_allclose(found[name], value, atol=1e-4)
    else:
        with pytest.raises(InputError, match=f"`images` must be .*, but it is {given}. Convert"):
            engine.run(images)


def test_any_size_and_no_image_at_all(tmp_path: Path) -> None:
    engine = load_engine(handmade.dense(tmp_path / "dense").path)
    assert engine.run(np.zeros((0, 4, 7, 3), np.float32))["map"].shape == (0, 4, 7, 2)
    with pytest.raises(InputError) as raised:
        engine.run(np.zeros((1, 4, 7, 1), np.float32))
    assert str(raised.value) == (
        "`images` must have shape [N, ?, ?, 3], but it has shape [1, 4, 7, 1]."
    )
    engine = load_engine(handmade.regression(tmp_path / "regression").path)
    empty = engine.run(np.zeros((0, 6, 5, 3), np.float32))
    assert {name: value.shape for name, value in empty.items()} == {
        "age": (0, 1), "pose": (0, 3), "temperature": ()
    }  # fmt: skip


@pytest.mark.parametrize("engine", ["onnx", "saved_model"])
def test_maps_of_images_of_any_size(engine: str, tmp_path: Path) -> None:
    from stn_tf.export import export_model

    images = keras.Input((None, None, 3), name="photos")
    maps = keras.layers.Conv2D(2, 3, padding="same", name="maps")(images)
    model = keras.Model(images, maps)
    export_model(model, tmp_path, task="dense", input_range=(0, 255))
    loaded = load_engine(tmp_path, engine)
    for shape in ((2, 7, 9, 3), (1, 12, 5, 3), (0, 4, 4, 3)):
        batch = np.random.default_rng(1).uniform(0, 255, shape).astype(np.float32)
        (found,) = loaded.run(batch).values()
        assert found.shape == (*shape[:3], 2)
        if len(batch):
            np.testing.assert_allclose(found, model(batch), atol=2e-2, rtol=1e-4)


def test_highest_version_is_found(model_dir: Path, tmp_path: Path) -> None:
    for name in ("2", "00000010", "9"):
        shutil.copytree(model_dir / "1", tmp_path / name)
    for name in (".11-partial", "latest", "12.old"):
        (tmp_path / name).mkdir()
    (tmp_path / "99").write_text("a file")
    assert list(versions(tmp_path)) == [2, 9, 10]
    assert find_version(tmp_path) == tmp_path / "00000010"
    assert find_version(tmp_path / "9") == tmp_path / "9"


def damaged(model_dir: Path, tmp_path: Path, name: str, keep: float) -> Path:
    shutil.copytree(model_dir, tmp_path / "copy")
    path = tmp_path / "copy" / "1" / name
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("engine", "name"),
    [
        ("onnx", "model.onnx"),
        ("saved_model", "saved_model.pb"),
        ("saved_model", "variables/variables.data-00000-of-00001"),
    ],
)
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_damaged_file_exception_raised(
    engine: str, name: str, keep: float, model_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"^`.*` is damaged.*run `stn-tf export`\.$"):
        load_engine(damaged(model_dir, tmp_path, name, keep), engine)


@pytest.mark.parametrize(
    ("engine", "name"), [("onnx", "model.onnx"), ("saved_model", "saved_model.pb")]
)
def test_file_that_is_no_model_exception_raised(
    engine: str, name: str, model_dir: Path, tmp_path: Path
) -> None:
    """A manifest without hashes, as a hand-made version may have: the runtime's word counts."""
    directory = damaged(model_dir, tmp_path, name, 0.5)
    manifest = directory / "1" / "assets.extra" / "stn_tf.json"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('"sha256"', '"unknown"'), encoding="utf-8")
    with pytest.raises(ModelError, match=f"^`.*{name}` is no .* can load: ") as raised:
        load_engine(directory, engine)
    assert "\n" not in str(raised.value)


def test_no_model_exception_raised(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "hollow" / "3").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    for name, message in {
        "missing": "does not exist",
        "file": "is a file, not a folder",
        "empty": "has no sub-folder named by a version number",
        "hollow": "holds neither model.onnx nor saved_model.pb",
    }.items():
        with pytest.raises(ModelError, match=message):
            load_engine(tmp_path / name)
    with pytest.raises(ValueError, match="`engine` must be one of auto, onnx, saved_model"):
        load_engine(tmp_path, "tensorrt")


def test_engine_that_the_version_lacks_exception_raised(model_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(model_dir / "1", tmp_path / "1")
    (tmp_path / "1" / "model.onnx").unlink()
    with pytest.raises(ModelError, match="Use the engine saved_model"):
        load_engine(tmp_path, "onnx")


def test_model_without_transformer(tmp_path: Path) -> None:
    from stn_tf.export import export_model

    images = keras.Input((14, 12, 1))
    plain = keras.Model(images, keras.layers.Dense(3)(keras.layers.Flatten()(images)))
    export_model(plain, tmp_path, classes=("a", "b", "c"), input_range=(0, 1))
    batch = np.random.default_rng(0).uniform(size=(2, 14, 12, 1)).astype(np.float32)
    for engine in ("onnx", "saved_model"):
        outputs = load_engine(tmp_path, engine).run(batch)
        assert set(outputs) == {"logits", "probabilities", "class"}
        np.testing.assert_allclose(outputs["logits"], plain(batch), atol=1e-4)
