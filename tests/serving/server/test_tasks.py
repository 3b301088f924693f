"""Image files as bodies, and what is listed, for models of every task, range and layout."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stn_tf.export.publish.manifest import read_manifest, write_manifest
from stn_tf.serving.client import Client
from tests.serving import handmade
from tests.serving.handmade import HEIGHT, WIDTH, Handmade
from tests.serving.server.conftest import Server
from tests.serving.server.running import running


def own_localize(folder: Path) -> Handmade:
    """A model without transformers, one of whose own signatures is called `localize`."""
    model = handmade.regression(folder, handmade.WIDE)
    manifest = read_manifest(folder)
    names = {"serving_default": ("age",), "localize": ("pose", "temperature")}
    write_manifest(folder, manifest.model_copy(update={"signatures": names}))
    return model


MAKERS = {
    "own_localize": own_localize,
    "softmax": lambda folder: handmade.softmax(folder, handmade.NORMALISED),
    "unknown": lambda folder: handmade.softmax(
        folder, handmade.RGB.model_copy(update={"value_range": None})
    ),
    "four": lambda folder: handmade.embedding(
        folder,
        handmade.RGB.model_copy(
            update={"shape": (None, HEIGHT, 1, 15), "color_space": None, "value_range": None}
        ),
    ),
    **{
        make.__name__: make
        for make in (
            *(handmade.binary, handmade.multilabel, handmade.regression, handmade.embedding),
            *(handmade.dense, handmade.several_crops),
        )
    },
}
PIXELS = np.random.default_rng(6).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Handmade]:
    folder = tmp_path_factory.mktemp("tasks")
    return {name: make(folder / name / "1") for name, make in MAKERS.items()}


@pytest.fixture(scope="module")
def server(models: dict[str, Handmade]) -> Iterator[Server]:
    with running(*(model.path.parent for model in models.values())) as found:
        yield found


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def asked(server: Server, name: str, pixels: np.ndarray = PIXELS, signature: str = ""):
    query = f"?signature_name={signature}" if signature else ""
    status, answer = server.call(f"/v1/models/{name}:predict{query}", png(pixels), "image/png")
    assert status == 200, answer
    (row,) = answer["predictions"]
    return row


def test_classification(server: Server, models: dict) -> None:
    """The model calls its logits `class`: the class is found by its meaning."""
    truth = models["softmax"].truth(((PIXELS / 255 - MEAN) / STD)[np.newaxis])
    row = asked(server, "softmax")
    assert set(row) == {"class", "shares", "index", "label"}
    np.testing.assert_allclose(row["class"], truth["class"][0], atol=1e-4)
    np.testing.assert_allclose(row["shares"], truth["shares"][0], atol=1e-5)
    assert row["label"] == ("ant", "bee", "dög")[truth["index"][0]]


def test_binary(server: Server, models: dict) -> None:
    truth = models["binary"].truth(PIXELS[np.newaxis])
    row = asked(server, "binary")
    np.testing.assert_allclose(row["probabilities"], truth["probabilities"][0], atol=1e-5)
    assert row["label"] == ("closed", "open")[truth["class"][0]]


def test_multilabel(server: Server, models: dict) -> None:
    seen = set()
    for seed in range(4):
        pixels = np.random.default_rng(seed).integers(0, 256, PIXELS.shape).astype(np.uint8)
        values = (pixels[..., ::-1] / 127.5 - 1).transpose(2, 0, 1)[np.newaxis]
        (shares,) = models["multilabel"].truth(values)["probabilities"]
        names = np.array(["sky", "sea", "sand", "snow"])
        row = asked(server, "multilabel", pixels)
        np.testing.assert_allclose(row["probabilities"], shares, atol=1e-5)
        order = np.argsort(-shares)
        assert row["labels"] == names[order][shares[order] >= 0.5].tolist()
        assert "label" not in row
        seen.add(len(row["labels"]))
    assert len(seen) > 1


def test_regression(server: Server, models: dict) -> None:
    truth = models["regression"].truth(((PIXELS / 255 - MEAN) / STD)[np.newaxis])
    row = asked(server, "regression")
    assert set(row) == {"age", "pose", "temperature"}
    np.testing.assert_allclose(row["pose"], truth["pose"][0], atol=1e-5)
    # It has no batch dimension, and with one image it is that image's.
    assert row["temperature"] == pytest.approx(truth["temperature"], abs=1e-5)


def test_localize_of_a_models_own(server: Server, models: dict) -> None:
    truth = models["own_localize"].truth(PIXELS[None])
    assert asked(server, "own_localize") == pytest.approx(truth["age"][0], abs=1e-5)


def test_embedding_of_bytes(server: Server, models: dict) -> None:
    vector = asked(server, "embedding")  # One output goes without its name.
    np.testing.assert_allclose(vector, models["embedding"].truth(PIXELS[None])["vector"][0], 1e-4)


def test_dense_of_any_size(server: Server, models: dict) -> None:
    for size in ((HEIGHT, WIDTH), (3, 9)):
        pixels = np.random.default_rng(2).integers(0, 256, (*size, 3)).astype(np.uint8)
        expected = models["dense"].truth(pixels[None] / 255)["map"][0]
        np.testing.assert_allclose(asked(server, "dense", pixels), expected, atol=1e-5)


def test_several_crops(server: Server, models: dict) -> None:
    large = np.kron(PIXELS, np.ones((2, 2, 1), np.uint8))
    row = asked(server, "several_crops", large)
    assert np.shape(row["theta"]) == (2, 1)
    right, middle, bottom = 2 * WIDTH - 0.5, HEIGHT - 0.5, 2 * HEIGHT - 0.5
    assert row["corners"][0] == [[-0.5, -0.5], [right, -0.5], [right, middle], [-0.5, middle]]
    assert row["corners"][1][2] == [right, bottom]
    crops = asked(server, "several_crops", signature="rectify")
    np.testing.assert_array_equal(np.concatenate(crops), PIXELS)


def test_bytes_over_grpc(server: Server, models: dict) -> None:
    with Client(f"grpc://127.0.0.1:{server.port}") as client:
        small = np.random.default_rng(3).integers(0, 256, (2, *PIXELS.shape)).astype(np.uint8)
        for name, values in (
            ("embedding", small),
            ("multilabel", (small[..., ::-1] / 127.5 - 1).transpose(0, 3, 1, 2)),
            ("dense", small / 255),
        ):
            found = client.predict_images([png(one) for one in small], model=name).outputs
            for output, value in models[name].truth(values).items():
                np.testing.assert_allclose(found[output], value, rtol=1e-4, atol=1e-4)
        other = png(np.zeros((4, 4, 3), np.uint8))
        with pytest.raises(Exception, match=r"images of one size.* \[0\] is 5 x 6 and \[1\] is 4"):
            client.predict_images([png(PIXELS), other], model="dense")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unknown", "The range of the input `images` is unknown: nobody said what black and whit"),
        ("four", "The input `images` has 15 channels, which no image file has. Send it arrays."),
    ],
)
def test_models_that_no_file_fits(server: Server, name: str, message: str) -> None:
    status, answer = server.call(f"/v1/models/{name}:predict", png(PIXELS), "image/png")
    assert status == 400
    assert answer["error"].startswith(message)


def test_listed(server: Server) -> None:
    _, answer = server.call("/v1/models")
    told = {model["name"]: model["versions"][0] for model in answer["models"]}
    dense, crops = told["dense"]["input"], told["several_crops"]
    assert (dense["height"], dense["width"], dense["channels"]) == (None, None, 3)
    first = told["multilabel"]["input"]
    assert (first["height"], first["width"], first["layout"]) == (HEIGHT, WIDTH, "NCHW")
    assert (first["range"], first["color_space"]) == ([-1.0, 1.0], "bgr")
    normalised = told["softmax"]["input"]
    assert normalised["mean"] == [*MEAN]
    assert normalised["resize"] == "center_crop"
    assert told["unknown"]["input"]["range"] is None
    assert [told[name]["task"] for name in ("binary", "dense", "several_crops")] == [
        *("binary", "dense", "none")
    ]
    meanings = {one["name"]: one["meaning"] for one in told["softmax"]["outputs"]}
    assert meanings == {"class": "logits", "shares": "probabilities", "index": "class"}
    assert told["multilabel"]["classes"] == ["sky", "sea", "sand", "snow"]
    assert crops["transforms"] == ["half"]
    assert crops["transformers"] == [
        {
            "transform": "half",
            "reads_images": True,
            "theta": "theta",
            "corners": "corners",
            "crops": "crops",
        }
    ]
