"""API keys on both protocols: who gets in, what stays open, and that keys are never said."""

import json
import threading
import urllib.error
import urllib.request

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2

from stn_tf.errors import ConfigError
from stn_tf.serving.server.api_keys import ApiKeys, read_api_keys
from tests.serving.server.running import refused, running

KEYS = "# of the team\nfirst-key\n\n  second.key  \n"
REFUSAL = "This server needs an API key. Send `authorization: Bearer KEY` or `x-api-key: KEY`."


@pytest.fixture(scope="module")
def guarded(base_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(KEYS)
    with running(base_path, "--api_keys_file", path) as server:
        yield server


def _get(server, path: str, headers: dict[str, str]) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{server.rest_port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


GOOD = [
    ("authorization", "Bearer first-key"),
    ("authorization", "bearer second.key"),
    ("x-api-key", "second.key"),
]
BAD = [
    ("x-other", "first-key"),
    ("authorization", "first-key"),
    ("authorization", "Basic first-key"),
    ("authorization", "Bearer"),
    ("authorization", "Bearer first-key2"),
    ("x-api-key", "# of the team"),
    ("x-api-key", ""),
    ("x-api-key", "secret-of-somebody"),
]


@pytest.mark.parametrize("header", GOOD)
def test_who_has_a_key_is_answered(guarded, header):
    assert _get(guarded, "/v1/models/small", dict([header]))[0] == 200
    assert _get(guarded, "/monitoring/prometheus/metrics", dict([header]))[0] == 200
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "small"
    assert guarded.models.GetModelStatus(request, metadata=[header]).model_version_status


@pytest.mark.parametrize("header", BAD)
def test_who_has_none_is_refused(guarded, header):
    for path in ("/v1/models/small", "/v1/models", "/monitoring/prometheus/metrics", "/nothing"):
        status, body = _get(guarded, path, dict([header]))
        assert status == 401
        assert json.loads(body) == {"error": REFUSAL}
    request = get_model_status_pb2.GetModelStatusRequest()
    with pytest.raises(grpc.RpcError) as refusal:
        guarded.models.GetModelStatus(request, metadata=[header])
    assert refusal.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert refusal.value.details() == REFUSAL


def test_a_request_is_refused_before_it_is_read(guarded):
    over = threading.Event()

    def parts():
        over.wait()  # The message never comes.
        yield from ()

    call = guarded.channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
    try:
        with pytest.raises(grpc.RpcError) as refusal:
            call(parts(), timeout=60)
    finally:
        over.set()
    assert refusal.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_health_stays_open(guarded):
    assert _get(guarded, "/livez", {}) == _get(guarded, "/readyz", {}) == (200, "ok\n")
    check = guarded.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"") == b"\x08\x01"
    watch = guarded.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
    assert next(watch) == b"\x08\x01"
    watch.cancel()


def test_binary_metadata_is_no_key(guarded):
    request = get_model_status_pb2.GetModelStatusRequest()
    with pytest.raises(grpc.RpcError) as refusal:
        guarded.models.GetModelStatus(request, metadata=[("x-api-key-bin", b"first-key")])
    assert refusal.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_keys_are_never_said(base_path, tmp_path):
    path = tmp_path / "keys"
    path.write_text(KEYS)
    with running(base_path, "--api_keys_file", path) as server:
        for value in ("first-key", "wrong-key"):
            assert "key" not in _get(server, "/v1/models/x", {"x-api-key": value})[1].replace(
                REFUSAL, ""
            )
        # A header that is too long, and one that is none.
        for headers in (
            {"Authorization": "Bearer first-key" + "x" * 9000},
            {"Authorization": "Bearer first-key\x01"},
        ):
            status, body = _get(server, "/v1/models/small", headers)
            assert status in (400, 431)
            assert "first-key" not in body
        server.process.terminate()
        _, said = server.process.communicate(timeout=120)
    assert "key" not in said


def test_keys_are_kept_as_hashes(tmp_path):
    path = tmp_path / "keys"
    path.write_text(KEYS)
    keys = read_api_keys(path)
    assert "first-key" not in repr(vars(keys))
    assert keys.allow({"x-api-key": "first-key"})
    assert not ApiKeys([]).allow({"x-api-key": ""})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no key"),
        (b"# nothing\n", "holds no key"),
        (b"good\ntwo words\n", "line 2: a key is printable ASCII without spaces"),
        ("schlüssel\n".encode(), "line 1: a key is printable ASCII without spaces"),
        (b"\xff\xfe\n", "it is not UTF-8"),
    ],
)
def test_files_that_cannot_be(tmp_path, content, message):
    path = tmp_path / "keys"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as error:
        read_api_keys(path)
    assert "two words" not in str(error.value)


def test_a_missing_file_is_refused_at_the_start(tmp_path):
    line = refused("--model_base_path", tmp_path, "--api_keys_file", tmp_path / "none")
    assert "cannot be read: No such file or directory" in line
