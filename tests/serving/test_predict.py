"""The batch job: every format of input and output, damaged files, nothing half-written."""

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from stn_tf.errors import DataError, InputError
from stn_tf.export import export_model
from stn_tf.serving.jobs import predict
from stn_tf.serving.models import Engine, load_engine
from tests.serving.conftest import CLASSES


@pytest.fixture(scope="module")
def engine(model_dir: Path) -> Engine:
    return load_engine(model_dir)


def read_jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_folder(
    engine: Engine, folder: Path, expected: dict, tmp_path: Path, batch_size: int
) -> None:
    output = tmp_path / "out" / "rows.jsonl"
    summary = predict(engine, [folder], output, batch_size=batch_size)
    assert summary.images == 8
    assert [path.name for path, _ in summary.unreadable] == ["3a.png"]
    rows = read_jsonl(output)
    order = [f"{i}.png" for i in range(6)] + ["more/6.png", "more/7.png"]
    assert [row["source"] for row in rows] == [str(folder / name) for name in order]
    for row, logits, theta in zip(rows, expected["logits"], expected["theta"], strict=False):
        shares = np.exp(logits) / np.exp(logits).sum()
        assert row["class"] == CLASSES[logits.argmax()]
        assert row["probability"] == pytest.approx(shares.max(), abs=1e-4)
        np.testing.assert_allclose(row["theta"], theta.ravel(), atol=1e-5)
        # The corners, from theta by hand: edges of a 14 x 12 image.
        square = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
        pixels = ((square @ theta.T + 1) * [12, 14] - 1) / 2
        np.testing.assert_allclose(row["corners"], pixels, atol=1e-3)


@pytest.mark.parametrize("form", ["npy", "npz", "float", "no channels", "single"])
def test_arrays_give_the_same_rows(
    engine: Engine, images: np.ndarray, expected: dict, tmp_path: Path, form: str
) -> None:
    path = tmp_path / ("images.npz" if form == "npz" else "images.npy")
    array = {
        "float": images.astype(np.float64) / 255.0,
        "no channels": images[..., 0],
        "single": images[0],
    }.get(form, images)
    if form == "npz":
        np.savez_compressed(path, x=array, y=expected["logits"].argmin(axis=-1))
    else:
        np.save(path, array)
    summary = predict(engine, [path], tmp_path / "rows.jsonl", batch_size=4)
    rows = read_jsonl(tmp_path / "rows.jsonl")
    count = 1 if form == "single" else 9
    assert [row["index"] for row in rows] == list(range(count))
    classes = [CLASSES[index] for index in expected["logits"][:count].argmax(axis=-1)]
    assert [row["class"] for row in rows] == classes
    # Labels that are the least likely class: every answer is wrong.
    assert summary.error_percent == (100.0 if form == "npz" else None)


def test_formats_hold_the_same(engine: Engine, folder: Path, tmp_path: Path) -> None:
    for suffix in ("jsonl", "csv", "parquet"):
        predict(engine, [folder], tmp_path / f"rows.{suffix}", probabilities=True)
    rows = read_jsonl(tmp_path / "rows.jsonl")
    table = pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(rows) == len(table) == len(lines) == 8
    for row, cells, line in zip(rows, table, lines, strict=True):
        assert (row["source"], row["class"]) == (cells["source"], cells["class"])
        assert (row["source"], row["class"]) == (line["source"], line["class"])
        for name in ("probability", "theta", "corners", "probabilities"):
            np.testing.assert_allclose(cells[name], row[name], rtol=1e-6)
        theta = [float(line[f"theta_{index}"]) for index in range(6)]
        np.testing.assert_array_equal(theta, row["theta"])
        corner = [float(line["corner_bottom_right_x"]), float(line["corner_bottom_right_y"])]
        np.testing.assert_array_equal(corner, row["corners"][2])
        assert float(line["probability_dög"]) == row["probabilities"][3]


@pytest.fixture(scope="module")
def two_dir(tmp_path_factory: pytest.TempPathFactory, two_transformers: keras.Model) -> Path:
    out = tmp_path_factory.mktemp("two") / "model"
    export_model(two_transformers, out, classes=("a", "b", "c"), input_range=(0, 1))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("engine_name", ["onnx", "saved_model"])
def test_columns_are_in_the_same_order_for_every_engine(
    engine_name: str, folder: Path, tmp_path: Path, two_dir: Path
) -> None:
    engine = load_engine(two_dir, engine_name)
    predict(engine, [folder], tmp_path / "rows.jsonl", probabilities=True)
    predict(engine, [folder], tmp_path / "rows.csv")
    (first, *_) = read_jsonl(tmp_path / "rows.jsonl")
    assert list(first) == [
        *("source", "index", "class", "probability"),
        *("theta", "corners", "theta_2", "corners_2", "probabilities"),
    ]
    assert [len(first[name]) for name in ("theta", "corners", "theta_2", "corners_2")] == [
        *(6, 4, 3, 4)
    ]
    header = (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert header[4:12] == [*(f"theta_{i}" for i in range(6)), *header[10:12]]
    assert header[10] == "corner_top_left_x"
    assert header[18:21] == ["theta_2_0", "theta_2_1", "theta_2_2"]
    assert header[-1] == "corner_bottom_left_y_2"
    assert len(set(header)) == len(header)


def test_corners_are_in_pixels_of_the_file(
    engine: Engine, images: np.ndarray, tmp_path: Path
) -> None:
    """A file three times as large, with 12 columns to the left and right that are cut off."""
    Image.fromarray(images[0, ..., 0]).save(tmp_path / "small.png")
    large = images[0, ..., 0].repeat(3, axis=0).repeat(3, axis=1)
    Image.fromarray(large).save(tmp_path / "large.png")
    predict(engine, [tmp_path / "small.png", tmp_path / "large.png"], tmp_path / "rows.jsonl")
    small, big = read_jsonl(tmp_path / "rows.jsonl")
    theta = np.array(big["theta"]).reshape(2, 3)
    square = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    pixels = ((square @ theta.T + 1) * [36, 42] - 1) / 2
    np.testing.assert_allclose(big["corners"], pixels, atol=1e-3)
    assert np.abs(np.array(small["corners"]) - pixels).max() > 5


def test_corners_of_a_letterboxed_file(engine: Engine, tmp_path: Path) -> None:
    """28 x 12 pixels fit into 14 x 12 as 14 x 6, three columns from the left."""
    values = np.random.default_rng(3).integers(0, 256, (28, 12)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "tall.png")
    predict(engine, [tmp_path / "tall.png"], tmp_path / "rows.jsonl")
    (row,) = read_jsonl(tmp_path / "rows.jsonl")
    theta = np.array(row["theta"]).reshape(2, 3)
    square = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
    edges = (square @ theta.T + 1) / 2 * [12, 14]  # From the input's upper left edge.
    expected = (edges - [3, 0]) * 2 - 0.5
    np.testing.assert_allclose(row["corners"], expected, atol=1e-3)


WRONG_ARRAYS = {
    "`.*` must have shape \\[N, 14, 12, 1\\] or \\[N, 14, 12\\], .* \\[2, 12, 14, 1\\]": np.zeros(
        (2, 12, 14, 1), np.uint8
    ),
    "has shape \\[2, 14, 12, 3\\]": np.zeros((2, 14, 12, 3), np.uint8),
    "its dtype is int64": np.zeros((2, 14, 12, 1), np.int64),
    "the model's range, but they go from 0 to 2": np.linspace(0, 2, 2 * 14 * 12).reshape(
        2, 14, 12, 1
    ),
    "but they include NaN": np.full((2, 14, 12, 1), np.nan),
    "at least one image": np.zeros((0, 14, 12, 1), np.uint8),
}


@pytest.mark.parametrize("message", WRONG_ARRAYS)
def test_wrong_array_exception_raised(engine: Engine, tmp_path: Path, message: str) -> None:
    np.save(tmp_path / "good.npy", np.zeros((3, 14, 12, 1), np.uint8))
    np.save(tmp_path / "wrong.npy", WRONG_ARRAYS[message])
    with pytest.raises(InputError, match=message):
        predict(engine, [tmp_path / "good.npy", tmp_path / "wrong.npy"], tmp_path / "rows.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.npy", "wrong.npy"]


def test_wrong_inputs_exception_raised(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "damaged.png").write_bytes(b"no image")
    before = sorted(tmp_path.iterdir())
    for name, message in {
        "missing": "does not exist",
        "empty": "holds no image files",
        "notes.txt": "is neither an image file",
        "cut.npy": "cannot be read",
        "damaged.png": "None of the 1 image files can be decoded",
    }.items():
        with pytest.raises(DataError, match=message):
            predict(engine, [tmp_path / name], tmp_path / "rows.jsonl")
    with pytest.raises(ValueError, match=r"`output` must end in one of .jsonl, .csv, .parquet"):
        predict(engine, [tmp_path / "damaged.png"], tmp_path / "rows.txt")
    assert sorted(tmp_path.iterdir()) == before


def test_output_of_an_earlier_job_survives_a_failure(engine: Engine, tmp_path: Path) -> None:
    output = tmp_path / "rows.csv"
    output.write_text("kept")
    values = np.zeros((9, 14, 12, 1))
    values[-1] = 7.0  # Found when most rows are written.
    np.save(tmp_path / "images.npy", values)
    with pytest.raises(InputError, match="they go from 7 to 7"):
        predict(engine, [tmp_path / "images.npy"], output, batch_size=1)
    assert output.read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.npy", "rows.csv"]
