"""The rows of every task, from models of every range, layout and type."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

from stn_tf.errors import InputError, ModelError
from stn_tf.serving.jobs import Summary, predict
from stn_tf.serving.models import load_engine
from tests.serving import handmade
from tests.serving.handmade import HEIGHT, WIDTH, Handmade

MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])
# What becomes of pixels of 0..255, [..., H, W, RGB], said in other words than `from_pixels`.
INPUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "RGB": lambda p: p / 255,
    "WIDE": lambda p: p.astype(float),
    "BYTES": lambda p: p,
    "NORMALISED": lambda p: (p / 255 - MEAN) / STD,
    "BGR_FIRST": lambda p: (p[..., ::-1] / 127.5 - 1).transpose(0, 3, 1, 2),
}


@pytest.fixture
def pixels() -> np.ndarray:
    shape = (7, HEIGHT, WIDTH, 3)
    return np.random.default_rng(4).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture
def photos(tmp_path: Path, pixels: np.ndarray) -> Path:
    (tmp_path / "photos").mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "photos" / f"{index}.png")
    return tmp_path / "photos"


def rows_of(
    model: Handmade, given: Path, output: Path, **choices: bool | int
) -> tuple[list[dict], Summary]:
    summary = predict(load_engine(model.path), [given], output, **choices)
    if output.suffix == ".jsonl":
        rows = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    elif output.suffix == ".parquet":
        rows = pyarrow.parquet.read_table(output).to_pylist()
    else:
        with output.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    return rows, summary


def column(rows: list[dict], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows])


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("form", ["files", "pixels", "values"])
def test_classes_for_every_range_and_layout(
    name: str, form: str, photos: Path, pixels: np.ndarray, tmp_path: Path
) -> None:
    model = handmade.softmax(tmp_path / "model", getattr(handmade, name))
    values = INPUTS[name](pixels)
    given = photos
    if form != "files":
        given = tmp_path / "images.npy"
        np.save(given, pixels if form == "pixels" else values)
    rows, _ = rows_of(model, given, tmp_path / "rows.jsonl", probabilities=True, batch_size=3)
    truth = model.truth(values)
    assert column(rows, "class").tolist() == [("ant", "bee", "dög")[i] for i in truth["index"]]
    np.testing.assert_allclose(column(rows, "probabilities"), truth["shares"], atol=1e-5)
    np.testing.assert_allclose(column(rows, "probability"), truth["shares"].max(-1), atol=1e-5)
    assert list(rows[0]) == ["source", "index", "class", "probability", "probabilities"]


def test_grey_without_a_channel_axis(pixels: np.ndarray, tmp_path: Path) -> None:
    first = handmade.GREY.model_copy(update={"shape": (None, 1, HEIGHT, WIDTH), "layout": "NCHW"})
    for index, spec in enumerate((handmade.GREY, first)):
        model = handmade.softmax(tmp_path / str(index), spec)
        expected = model.truth(pixels[..., 0] / 255)["shares"]
        for array in (pixels[..., 0], pixels[..., 0] / 255, pixels[..., :1]):
            np.save(tmp_path / "images.npy", array)
            rows, _ = rows_of(
                model, tmp_path / "images.npy", tmp_path / "rows.jsonl", probabilities=True
            )
            np.testing.assert_allclose(column(rows, "probabilities"), expected, atol=1e-5)


WRONG_VALUES = {
    # Of a model of 0..255 that was given fractions nobody can tell; the other way everybody can.
    "RGB": (lambda p: p.astype(float), "must hold values in 0..1, the model's range, but they go "),
    "BGR_FIRST": (lambda p: p.transpose(0, 3, 1, 2) * 1.0, "must hold values in -1..1, "),
    "WIDE": (lambda p: p - 40.0, "must hold values in 0..255, "),
    "NORMALISED": (lambda p: p / 10, "must hold values in -2.1"),
    "BYTES": (lambda p: p / 255, "must hold uint8 in 0..255, but its dtype is float64"),
}


@pytest.mark.parametrize("name", WRONG_VALUES)
def test_values_outside_of_the_range_exception_raised(
    name: str, pixels: np.ndarray, tmp_path: Path
) -> None:
    change, message = WRONG_VALUES[name]
    model = handmade.softmax(tmp_path / "model", getattr(handmade, name))
    np.save(tmp_path / "images.npy", change(pixels))
    with pytest.raises(InputError, match=message) as raised:
        rows_of(model, tmp_path / "images.npy", tmp_path / "rows.csv")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "rows.csv").exists()


def test_binary(photos: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    model = handmade.binary(tmp_path / "model")
    truth = model.truth(pixels)
    rows, _ = rows_of(model, photos, tmp_path / "rows.csv", probabilities=True)
    names = [("closed", "open")[index] for index in truth["class"]]
    assert [row["class"] for row in rows] == names
    shares = truth["probabilities"]
    for row, share in zip(rows, shares, strict=True):
        assert float(row["probability_closed"]) == pytest.approx(share[0], abs=1e-5)
        assert float(row["probability_open"]) == pytest.approx(share[1], abs=1e-5)
        assert float(row["probability"]) == pytest.approx(share.max(), abs=1e-5)
    np.savez(tmp_path / "labelled.npz", images=pixels, labels=np.array(names))
    _, summary = rows_of(model, tmp_path / "labelled.npz", tmp_path / "rows.csv")
    assert summary.error_percent == 0.0


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_multilabel(suffix: str, photos: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    model = handmade.multilabel(tmp_path / "model")
    shares = model.truth(INPUTS["BGR_FIRST"](pixels))["probabilities"]
    expected = [
        [model.interface.class_names[i] for i in np.argsort(-row) if row[i] >= 0.5]
        for row in shares
    ]
    assert len({len(names) for names in expected}) > 1  # Or the test would tell little.
    rows, summary = rows_of(model, photos, tmp_path / f"rows.{suffix}", probabilities=True)
    if suffix == "csv":
        assert [row["classes"] for row in rows] == ["|".join(names) for names in expected]
        sea = [float(row["probability_sea"]) for row in rows]
        np.testing.assert_allclose(sea, shares[:, 1], atol=1e-5)
    else:
        assert [row["classes"] for row in rows] == expected
        np.testing.assert_allclose(column(rows, "probabilities"), shares, atol=1e-5)
    assert "class" not in rows[0]
    assert summary.error_percent is None


def test_labels_say_nothing_of_other_tasks(pixels: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", images=pixels, labels=np.zeros((2, 9)))
    for make in (handmade.multilabel, handmade.embedding):
        model = make(tmp_path / make.__name__)
        rows, summary = rows_of(model, tmp_path / "images.npz", tmp_path / "rows.jsonl")
        assert len(rows) == 7
        assert summary.error_percent is None


def test_regression(photos: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """A model of 6 x 5 pixels with `center_crop` of 1.0 takes files of its size as they are."""
    model = handmade.regression(tmp_path / "model")
    truth = model.truth(INPUTS["NORMALISED"](pixels))
    rows, summary = rows_of(model, photos, tmp_path / "rows.jsonl")
    assert list(rows[0]) == ["source", "index", "age", "pose"]
    np.testing.assert_allclose(column(rows, "age"), truth["age"][:, 0], atol=1e-5)
    np.testing.assert_allclose(column(rows, "pose"), truth["pose"], atol=1e-5)
    assert summary.left_out == {"temperature": "has no row for each image"}
    lines, _ = rows_of(model, photos, tmp_path / "rows.csv", batch_size=1)
    assert list(lines[0]) == ["source", "index", "age", "pose_0", "pose_1", "pose_2"]
    np.testing.assert_allclose(
        [float(line["pose_2"]) for line in lines], truth["pose"][:, 2], atol=1e-5
    )


def test_embedding(photos: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    model = handmade.embedding(tmp_path / "model")
    vectors = model.truth(pixels)["vector"]
    rows, _ = rows_of(model, photos, tmp_path / "rows.parquet")
    np.testing.assert_allclose(column(rows, "vector"), vectors, atol=1e-3)
    lines, _ = rows_of(model, photos, tmp_path / "rows.csv")
    assert list(lines[0])[2:] == [f"vector_{index}" for index in range(8)]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_maps_of_images_of_any_size(suffix: str, photos: Path, tmp_path: Path) -> None:
    """Files of three sizes, in turn: each batch holds one size, and the rows keep their order."""
    rng = np.random.default_rng(1)
    sizes = [(HEIGHT, WIDTH)] * 2 + [(9, 4)] * 3 + [(2, 3), (9, 4)]
    for index, size in enumerate(sizes):
        image = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
        Image.fromarray(image).save(photos / f"{index}.png")
    model = handmade.dense(tmp_path / "model")
    rows, _ = rows_of(model, photos, tmp_path / f"rows.{suffix}", batch_size=4)
    assert [Path(row["source"]).name for row in rows] == [f"{index}.png" for index in range(7)]
    for index, row in enumerate(rows):
        image = np.asarray(Image.open(photos / f"{index}.png"))[np.newaxis]
        np.testing.assert_allclose(row["map"], model.truth(image / 255)["map"][0], atol=1e-5)
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (2, 8, 9, 3)).astype(np.uint8))
    rows, _ = rows_of(model, tmp_path / "images.npy", tmp_path / "rows.jsonl")
    assert np.shape(rows[1]["map"]) == (8, 9, 2)


def test_maps_do_not_fit_into_csv_exception_raised(photos: Path, tmp_path: Path) -> None:
    model = handmade.dense(tmp_path / "model")
    with pytest.raises(InputError) as raised:
        rows_of(model, photos, tmp_path / "rows.csv")
    assert str(raised.value) == (
        "`map` has shape [6, 5, 2] for each image, and a line of CSV holds numbers and vectors "
        "only. Write .parquet or .jsonl."
    )
    assert not list(tmp_path.glob("*rows*"))


def test_several_crops(tmp_path: Path) -> None:
    """Files of twice the size: the corners are those of their halves."""
    model = handmade.several_crops(tmp_path / "model")
    image = np.random.default_rng(0).integers(0, 256, (2 * HEIGHT, 2 * WIDTH, 3)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "large.png")
    (row,), _ = rows_of(model, tmp_path / "large.png", tmp_path / "rows.jsonl")
    assert row["theta"] == [[0.0], [1.0]]
    upper, lower = row["corners"]
    right, middle, bottom = 2 * WIDTH - 0.5, HEIGHT - 0.5, 2 * HEIGHT - 0.5
    assert upper == [[-0.5, -0.5], [right, -0.5], [right, middle], [-0.5, middle]]
    assert lower == [[-0.5, middle], [right, middle], [right, bottom], [-0.5, bottom]]
    (line,), _ = rows_of(model, tmp_path / "large.png", tmp_path / "rows.csv")
    assert float(line["crop_1_theta_0"]) == 1.0
    assert float(line["crop_1_corner_bottom_right_y"]) == bottom
    assert list(line)[:5] == ["source", "index", "sum", "crop_0_theta_0", "crop_1_theta_0"]


def test_corners_undo_every_way_to_resize(tmp_path: Path) -> None:
    """A file of 24 x 10, whose corners are said by hand."""
    Image.fromarray(np.zeros((24, 10, 3), np.uint8)).save(tmp_path / "tall.png")
    edges = {
        # The left and upper edge of the model's 6 x 5 pixels in the file, and the other two.
        "squash": (0, 0, 10, 24),
        # 24 rows become 6: a quarter; 10 columns become 2 in the middle of 5.
        "letterbox": (-5, 0, 20, 24),
        # 10 columns become 5: a half; of 12 rows the middle 6.
        "center_crop": (0, 6, 10, 18),
    }
    for mode, (left, top, right, bottom) in edges.items():
        spec = handmade.WIDE.model_copy(update={"resize": mode})
        model = handmade.several_crops(tmp_path / mode, spec)
        (row,), _ = rows_of(model, tmp_path / "tall.png", tmp_path / "rows.jsonl")
        upper, lower = row["corners"]
        assert upper[0] == pytest.approx([left - 0.5, top - 0.5], abs=1e-4), mode
        assert lower[2] == pytest.approx([right - 0.5, bottom - 0.5], abs=1e-4), mode


def test_half_precision(pixels: np.ndarray, tmp_path: Path) -> None:
    spec = handmade.RGB.model_copy(update={"dtype": "float16"})
    model = handmade.softmax(tmp_path / "model", spec)
    np.save(tmp_path / "images.npy", (pixels / 255).astype(np.float32))
    rows, _ = rows_of(model, tmp_path / "images.npy", tmp_path / "rows.jsonl", probabilities=True)
    expected = model.truth(pixels / 255)["shares"]
    np.testing.assert_allclose(column(rows, "probabilities"), expected, atol=1e-2)


def test_bfloat16_in_and_out(pixels: np.ndarray, tmp_path: Path) -> None:
    """ONNX Runtime itself does not know the type in NumPy."""
    import ml_dtypes

    spec = handmade.RGB.model_copy(update={"dtype": "bfloat16"})
    output = handmade.OutputSpec(name="sum", dtype="bfloat16", shape=(None,))
    interface = handmade.ModelInterface(inputs=(spec,), outputs=(output,), task="regression")
    body = """
        f = Cast<to=1>(images)
        s = ReduceSum<keepdims=0>(f, axes)
        sum = Cast<to=16>(s)
    """
    path = handmade.write(tmp_path / "model", interface, body, {"axes": np.array([1, 2, 3])})
    np.save(tmp_path / "images.npy", pixels)
    predict(load_engine(path), [tmp_path / "images.npy"], tmp_path / "rows.jsonl")
    found = [json.loads(line)["sum"] for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    values = (pixels / 255).astype(ml_dtypes.bfloat16).astype(np.float32)
    expected = values.sum(axis=(1, 2, 3)).astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-2)


def test_unknown_range_exception_raised(photos: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    """Images cannot become such an input; arrays are taken as they are."""
    spec = handmade.RGB.model_copy(update={"value_range": None})
    model = handmade.softmax(tmp_path / "model", spec)
    np.save(tmp_path / "pixels.npy", pixels)
    for given in (photos, tmp_path / "pixels.npy"):
        with pytest.raises(ModelError, match="--input-range 0 255"):
            rows_of(model, given, tmp_path / "rows.csv")
    np.save(tmp_path / "values.npy", pixels * 3.0)
    rows, _ = rows_of(model, tmp_path / "values.npy", tmp_path / "rows.jsonl", probabilities=True)
    expected = model.truth(pixels * 3.0)["shares"]
    np.testing.assert_allclose(column(rows, "probabilities"), expected, atol=1e-5)


def test_vectors_instead_of_images(photos: Path, tmp_path: Path) -> None:
    spec = handmade.InputSpec(name="features", dtype="float32", shape=(None, 3))
    output = handmade.OutputSpec(name="twice", dtype="float32", shape=(None, 3))
    interface = handmade.ModelInterface(inputs=(spec,), outputs=(output,), task="none")
    path = handmade.write(tmp_path / "model", interface, "twice = Add(features, features)")
    model = Handmade(path, interface, lambda x: {"twice": 2 * x})
    np.save(tmp_path / "features.npy", np.arange(6.0).reshape(2, 3))
    rows, _ = rows_of(model, tmp_path / "features.npy", tmp_path / "rows.jsonl")
    assert column(rows, "twice").tolist() == [[0, 2, 4], [6, 8, 10]]
    with pytest.raises(ModelError, match="`features` is no batch of images"):
        rows_of(model, photos, tmp_path / "rows.csv")


def test_several_inputs_exception_raised(tmp_path: Path) -> None:
    specs = tuple(handmade.RGB.model_copy(update={"name": name}) for name in ("left", "right"))
    output = handmade.OutputSpec(name="sum", dtype="float32", shape=(None, HEIGHT, WIDTH, 3))
    interface = handmade.ModelInterface(inputs=specs, outputs=(output,), task="none")
    path = handmade.write(tmp_path / "model", interface, "sum = Add(left, right)")
    with pytest.raises(ModelError, match="takes 2 inputs, left, right, and not one batch"):
        load_engine(path)


def test_a_fixed_batch_is_filled_up(pixels: np.ndarray, tmp_path: Path) -> None:
    spec = handmade.WIDE.model_copy(update={"shape": (4, HEIGHT, WIDTH, 3)})
    output = handmade.OutputSpec(name="sum", dtype="float32", shape=(4,))
    interface = handmade.ModelInterface(inputs=(spec,), outputs=(output,), task="regression")
    body = "sum = ReduceSum<keepdims=0>(images, axes)"
    path = handmade.write(tmp_path / "model", interface, body, {"axes": np.array([1, 2, 3])})
    np.save(tmp_path / "images.npy", pixels)
    predict(load_engine(path), [tmp_path / "images.npy"], tmp_path / "rows.jsonl")
    found = [json.loads(line)["sum"] for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    np.testing.assert_allclose(found, pixels.sum(axis=(1, 2, 3)))


def test_only_outputs_without_a_batch_exception_raised(pixels: np.ndarray, tmp_path: Path) -> None:
    output = handmade.OutputSpec(name="mean", dtype="float32", shape=())
    interface = handmade.ModelInterface(inputs=(handmade.WIDE,), outputs=(output,), task="none")
    path = handmade.write(tmp_path / "model", interface, "mean = ReduceMean<keepdims=0>(images)")
    np.save(tmp_path / "images.npy", pixels)
    with pytest.raises(ModelError, match="nothing of single images: `mean` has no row for each"):
        predict(load_engine(path), [tmp_path / "images.npy"], tmp_path / "rows.jsonl")
