"""A version directory that stn-tf 0.1.0 wrote: it is served and predicts as it did."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stn_tf.serving.client import Client
from stn_tf.serving.jobs import predict
from stn_tf.serving.jobs.picture import picture
from stn_tf.serving.models import load_engine
from tests.serving.server.conftest import Server
from tests.serving.server.running import running

ENGINES = ("onnx", "saved_model")
NAMES = ("ant", "bee", "cat", "dög")


@pytest.fixture(scope="module")
def base_path(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(root / "tests" / "fixtures" / "version-0.1.0.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "version"


@pytest.fixture(scope="module")
def answers(base_path: Path) -> dict[str, np.ndarray]:
    """Images, and the logits that the live model had for them."""
    with np.load(base_path / "answers.npz") as found:
        return dict(found)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(float))
    return powers / powers.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_rows(engine: str, base_path: Path, answers: dict, tmp_path: Path) -> None:
    np.savez(tmp_path / "images.npz", images=answers["images"])
    output = tmp_path / "rows.jsonl"
    loaded = load_engine(base_path, engine)
    predict(loaded, [tmp_path / "images.npz"], output, probabilities=True)
    rows = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    shares = softmax(answers["logits"])
    assert [row["class"] for row in rows] == [NAMES[i] for i in shares.argmax(axis=-1)]
    np.testing.assert_allclose([row["probabilities"] for row in rows], shares, atol=1e-4)
    for row in rows:
        # Where the crop lies, from theta by hand: edges of a 14 x 12 image.
        square = np.array([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
        theta = np.array(row["theta"]).reshape(2, 3)
        pixels = ((square @ theta.T + 1) * [12, 14] - 1) / 2
        np.testing.assert_allclose(row["corners"], pixels, atol=1e-3)


def test_picture(base_path: Path, answers: dict, tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", answers["images"])
    figure = picture(load_engine(base_path), [tmp_path / "images.npy"], count=3)
    captions = [axes.texts[0].get_text().split()[0] for axes in figure.axes[1::2]]
    assert captions == [NAMES[i] for i in answers["logits"][:3].argmax(axis=-1)]


@pytest.fixture(scope="module", params=ENGINES)
def server(request: pytest.FixtureRequest, base_path: Path) -> Iterator[Server]:
    with running(base_path, "--engine", request.param) as found:
        yield found


def test_predict(server: Server, answers: dict) -> None:
    for scheme, port in (("grpc", server.port), ("http", server.rest_port)):
        with Client(f"{scheme}://127.0.0.1:{port}") as client:
            found = client.predict(answers["images"], model="version").outputs
            np.testing.assert_allclose(found["logits"], answers["logits"], atol=1e-4)
            np.testing.assert_allclose(
                found["probabilities"], softmax(answers["logits"]), atol=1e-4
            )
            encoded = [png(image) for image in answers["images"]]
            small = client.predict_images(encoded, model="version").outputs
            # PNG files have 256 levels.
            np.testing.assert_allclose(small["logits"], answers["logits"], atol=0.02)


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.rint(image[..., 0] * 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_image_body(server: Server, answers: dict) -> None:
    data = png(answers["images"][0])
    status, answer = server.call("/v1/models/version:predict", data, "image/png")
    assert status == 200, answer
    (row,) = answer["predictions"]
    pixels = np.asarray(Image.open(io.BytesIO(data)), np.float32)[np.newaxis, ..., np.newaxis] / 255
    body = {"instances": pixels.tolist()}
    _, expected = server.call("/v1/models/version:predict", body)
    assert row["label"] == NAMES[answers["logits"][0].argmax()]
    np.testing.assert_allclose(row["logits"], expected["predictions"][0]["logits"], atol=1e-4)
    assert set(row) == {"logits", "probabilities", "class", "label", "theta", "corners"}


def test_listed(server: Server) -> None:
    _, listed = server.call("/v1/models")
    (version,) = listed["models"][0]["versions"]
    told = {key: version["input"][key] for key in ("height", "width", "channels", "dtype", "range")}
    assert told == {
        "height": 14, "width": 12, "channels": 1, "dtype": "float32", "range": [0.0, 1.0]
    }  # fmt: skip
    assert version["classes"] == [*NAMES]
    assert version["transforms"] == ["affine"]
    assert version["task"] == "classification"
