"""The REST side, with a plain HTTP client, for both engines; and the life of the process."""

import gzip
import io
import json
import signal
import threading
import urllib.request

import numpy as np
import pytest
from PIL import Image

from tests.serving.server.conftest import start

PREDICT = "/v1/models/small:predict"


def test_rows(server, served_model, pictures):
    status, answer = server.call(PREDICT, {"instances": pictures.tolist()})
    assert status == 200
    logits = [row["logits"] for row in answer["predictions"]]
    np.testing.assert_allclose(logits, served_model(pictures), atol=1e-4)


def test_columns(server, served_model, pictures):
    body = {"signature_name": "serving_default", "inputs": {"images": pictures.tolist()}}
    status, answer = server.call(PREDICT, body)
    assert status == 200
    np.testing.assert_allclose(answer["outputs"]["logits"], served_model(pictures), atol=1e-4)


def test_one_output_goes_without_its_name(server, pictures):
    body = {"signature_name": "rectify", "instances": pictures.tolist()}
    status, answer = server.call("/v1/models/small/versions/3:predict", body)
    assert status == 200
    assert np.shape(answer["predictions"]) == (3, 5, 5, 1)


def test_gzip(server, pictures):
    data = gzip.compress(json.dumps({"instances": pictures.tolist()}).encode())
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.rest_port}{PREDICT}",
        data,
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert len(json.loads(answer.read())["predictions"]) == 3


def test_arrays_and_images_as_bodies(server, served_model, pictures):
    file = io.BytesIO()
    np.save(file, pictures)
    status, answer = server.call(PREDICT, file.getvalue(), "application/x-npy")
    assert status == 200
    logits = [row["logits"] for row in answer["predictions"]]
    np.testing.assert_allclose(logits, served_model(pictures), atol=1e-4)
    levels = np.uint8(pictures[0] * 255)
    file = io.BytesIO()
    Image.fromarray(levels[..., 0]).save(file, "PNG")
    status, answer = server.call(PREDICT, file.getvalue(), "image/png")
    assert status == 200
    (row,) = answer["predictions"]
    expected = served_model(levels[np.newaxis].astype(np.float32) / 255)
    np.testing.assert_allclose([row["logits"]], expected, atol=1e-4)


@pytest.mark.parametrize("place", ["", "/versions/3"])
@pytest.mark.parametrize("kind", ["application/json", "application/x-npy", "image/png"])
def test_the_version_that_answered(server, pictures, place, kind):
    file = io.BytesIO()
    if kind == "application/json":
        file.write(json.dumps({"instances": pictures.tolist()}).encode())
    elif kind == "application/x-npy":
        np.save(file, pictures)
    else:
        Image.fromarray(np.uint8(pictures[0, ..., 0] * 255)).save(file, "PNG")
    url = f"http://127.0.0.1:{server.rest_port}/v1/models/small{place}:predict"
    request = urllib.request.Request(url, file.getvalue(), {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["X-Model-Version"] == "3"


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v1/foo", None, 400, "Malformed request: GET /v1/foo"),
        ("/v1/models/small:guess", {}, 400, "Malformed request: POST /v1/models/small:guess"),
        (
            "/v1/models/other:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Latest(other)",
        ),
        (
            "/v1/models/small/versions/7:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Specific(small, 7)",
        ),
        (
            "/v1/models/small/labels/stable:predict",
            {"instances": [1]},
            400,
            "Unrecognized servable version label: stable",
        ),
        ("/v1/models/other", None, 404, "Could not find any versions of model other"),
        (
            PREDICT,
            {"instances": [1], "signature_name": "S"},
            400,
            'Serving signature key "S" not found.',
        ),
        ("/v1/models/..%2F..%2Fetc:predict", {"instances": [1]}, 400, None),
        (PREDICT, b"{", 400, None),
        (PREDICT, b"[" * 100_000, 400, None),
        (PREDICT, {"instances": [[1.0], [2.0, 3.0]]}, 400, None),
    ],
)
def test_refusals(server, path, body, status, message):
    found, answer = server.call(path, body)
    assert found == status, answer
    assert set(answer) == {"error"}
    if message is not None:
        assert answer["error"] == message
    assert server.call("/v1/models/small")[0] == 200


def test_status_metadata_and_models(server):
    status, answer = server.call("/v1/models/small/versions/3")
    assert status == 200
    assert answer == {
        "model_version_status": [
            {
                "version": "3",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    status, answer = server.call("/v1/models/small/metadata")
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["inputs"]["images"]["dtype"] == "DT_FLOAT"
    assert signatures["serving_default"]["defaults"] == {}
    status, answer = server.call("/v1/models")
    (model,) = answer["models"]
    assert model["name"] == "small"
    assert model["versions"][0]["state"] == "AVAILABLE"


def test_health_and_metrics(server, pictures):
    assert server.call("/livez")[0] == server.call("/readyz")[0] == 200
    server.call(PREDICT, {"instances": pictures.tolist()})
    server.call("/v1/models/nobody:predict", {"instances": [1]})
    _, text = server.call("/monitoring/prometheus/metrics")
    lines = text.splitlines()
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    count = ':tensorflow:serving:request_count{model_name="small",status="OK"} '
    assert any(line.startswith(count) and float(line[len(count) :]) >= 1 for line in lines)
    # Names that clients make up are no labels.
    assert "nobody" not in text
    latency = ":tensorflow:serving:request_latency_bucket"
    assert any(line.startswith(latency) and 'entrypoint="REST"' in line for line in lines)


def test_a_new_version_is_found_and_requests_in_flight_finish(base_path, pictures, tmp_path):
    import shutil

    shutil.copytree(base_path / "1", tmp_path / "small" / "1")
    server = start(tmp_path / "small", "--file_system_poll_wait_seconds", "0.05")
    stopped, codes, versions = threading.Event(), [], set()

    def load() -> None:
        while not stopped.is_set():
            codes.append(server.call(PREDICT, {"instances": pictures.tolist()})[0])

    workers = [threading.Thread(target=load) for _ in range(3)]
    for worker in workers:
        worker.start()
    for number in (2, 3):
        aside = shutil.copytree(base_path / str(number), tmp_path / f"aside-{number}")
        aside.rename(tmp_path / "small" / str(number))
        while True:
            answer = server.call("/v1/models/small")[1]["model_version_status"]
            states = {entry["version"]: entry["state"] for entry in answer}
            if states.get(str(number)) == "AVAILABLE":
                versions.add(number)
                break
    stopped.set()
    for worker in workers:
        worker.join()
    assert server.stop(signal.SIGTERM) == 0
    assert versions == {2, 3}
    assert set(codes) == {200}


def test_a_folder_without_a_model_is_refused_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(AssertionError, match=r"^Error: .*empty") as error:
        start(tmp_path / "empty")
    assert len(str(error.value).strip().splitlines()) == 1
