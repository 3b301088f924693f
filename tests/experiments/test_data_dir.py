"""Runs whose data has moved or changed, from the command line."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from stn_tf.cli.main import main
from stn_tf.experiments import Run, load_experiment, train
from stn_tf.export import read_manifest

SETTINGS = (
    "model=tests.experiments.own_functions:softmax",
    "image_size=8",
    "batch_size=8",
    "steps=4",
    "deterministic=false",
)


@pytest.fixture(scope="module")
def run_and_data(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run, and where its data is now."""
    folder = tmp_path_factory.mktemp("moved")
    shutil.copytree(digits, folder / "data")
    config = load_experiment("folder", [*SETTINGS, f"data_dir={folder / 'data'}"])
    train(config, folder / "run", progress=False)
    return folder / "run", (folder / "data").rename(folder / "elsewhere")


@pytest.fixture
def other_classes(run_and_data: tuple[Path, Path], tmp_path: Path) -> Path:
    data = tmp_path / "data"
    shutil.copytree(run_and_data[1], data)
    shutil.copytree(data / "one", data / "ones")
    return data


def stn_tf(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_evaluate_finds_the_same_images(run_and_data: tuple[Path, Path], tmp_path: Path) -> None:
    run, data = run_and_data
    picture = tmp_path / "confusion.png"
    result = stn_tf("evaluate", run, "--output", picture)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert f"{data.with_name('data')} does not exist" in result.stderr

    result = stn_tf("evaluate", run, "--data-dir", data, "--json", "--output", picture)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    report = Run(run).report
    assert report is not None
    assert answer["error_percent"] == report["error_percent"]
    assert answer["images"] == report["test_images"] == 6


def test_export_proves_itself_on_the_same_images(
    run_and_data: tuple[Path, Path], tmp_path: Path
) -> None:
    run, data = run_and_data
    result = stn_tf("export", run, "--data-dir", data, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    manifest = read_manifest(tmp_path / "1")
    assert manifest.interface.class_names == ("null", "one", "two")
    assert manifest.interface.image.value_range == (0.0, 1.0)
    session = onnxruntime.InferenceSession(
        tmp_path / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    images, _ = Run(run, data).examples("test")
    (probabilities,) = session.run(["probabilities"], {session.get_inputs()[0].name: images})
    expected = Run(run).load_model()(images).numpy()
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    # What the run saw of a file is what the exported model sees of it.
    file = min(data.rglob("*.png"))
    with Image.open(file) as image:
        pixels = np.asarray(image, np.float32)[None, ..., None] / 255
    np.testing.assert_allclose(
        manifest.interface.image.from_pixels(np.asarray(Image.open(file))[None, ..., None]),
        pixels,
        atol=1e-6,
    )


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_other_classes_are_refused_in_one_line(
    command: str, run_and_data: tuple[Path, Path], other_classes: Path, tmp_path: Path
) -> None:
    run, _ = run_and_data
    before = sorted(run.rglob("*"))
    out = ["--out", tmp_path / "out"] if command == "export" else []
    result = stn_tf(command, run, "--data-dir", other_classes, *out)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"Error: {other_classes} has other classes than the model was trained on (new: ones). "
        "Give a folder with the same 3 classes, or train a new model.\n"
    )
    assert sorted(run.rglob("*")) == before
    assert not (tmp_path / "out").exists()


def test_resume_refuses_other_classes(run_and_data: tuple[Path, Path], other_classes: Path) -> None:
    run, _ = run_and_data
    config = run / "config.toml"
    more = ["--set", "steps=6", "--data-dir", other_classes]
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = stn_tf("train", config, "--resume", *more)
    assert result.exit_code == 1
    assert "has other classes than the model was trained on (new: ones)" in result.stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
