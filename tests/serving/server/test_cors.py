"""Cross-origin requests: what a browser sends, and what it looks for in the answer."""

import http.client

import pytest

from stn_tf.errors import ConfigError
from stn_tf.serving.server.cors import cors_middleware
from tests.serving.server.running import refused, running

PAGE = "https://page.example.org"
PREDICT = "/v1/models/small:predict"
# What a page may read beside the body.
READABLE = {"access-control-expose-headers": "X-Model-Version"}


def _ask(server, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=named)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


def _preflight(server, origin: str, path: str = PREDICT) -> http.client.HTTPResponse:
    return _ask(
        server,
        "OPTIONS",
        path,
        Origin=origin,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="authorization,content-type",
    )


def _cors(answer: http.client.HTTPResponse) -> dict[str, str]:
    return {
        name.lower(): value
        for name, value in answer.getheaders()
        if name.lower().startswith("access-control-")
    }


@pytest.fixture(scope="module")
def open_to_pages(base_path, tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("a-key\n")
    with running(
        base_path,
        *("--cors_allow_origin", PAGE, "--cors_allow_origin", "http://127.0.0.1:3000"),
        *("--api_keys_file", keys),
    ) as server:
        yield server


@pytest.mark.parametrize("origin", [PAGE, "http://127.0.0.1:3000"])
def test_a_preflight_needs_no_key(open_to_pages, origin):
    answer = _preflight(open_to_pages, origin)
    assert answer.status == 204
    assert _cors(answer) == {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "authorization,content-type",
        "access-control-max-age": "7200",
    }
    assert answer.getheader("Vary") == "Origin"


def test_answers_and_refusals_are_marked(open_to_pages):
    for headers, path, status in [
        ({"x_api_key": "a-key"}, "/v1/models/small", 200),
        ({"x_api_key": "a-key"}, "/v1/models/other", 404),
        ({"x_api_key": "a-key"}, "/v1/nothing", 400),
        ({}, "/v1/models/small", 401),
    ]:
        answer = _ask(open_to_pages, "GET", path, Origin=PAGE, **headers)
        assert answer.status == status
        assert _cors(answer) == {"access-control-allow-origin": PAGE, **READABLE}
        assert "Origin" in answer.getheader("Vary")


@pytest.mark.parametrize("origin", ["https://other.example.org", PAGE + ":8443", "null", ""])
def test_other_origins_get_no_such_headers(open_to_pages, origin):
    assert _cors(_preflight(open_to_pages, origin)) == {}
    answer = _ask(open_to_pages, "GET", "/v1/models/small", Origin=origin, x_api_key="a-key")
    assert answer.status == 200
    assert _cors(answer) == {}


def test_only_the_rest_api_is_open(open_to_pages):
    for path in ("/livez", "/monitoring/prometheus/metrics"):
        answer = _ask(open_to_pages, "GET", path, Origin=PAGE, x_api_key="a-key")
        assert answer.status == 200
        assert _cors(answer) == {}


def test_all_origins(base_path):
    with running(base_path, "--cors_allow_origin", "*") as server:
        answer = _ask(server, "GET", "/v1/models/small", Origin=PAGE)
        assert _cors(answer) == {"access-control-allow-origin": "*", **READABLE}
        assert _preflight(server, PAGE).status == 204


def test_without_the_option_nothing_is_open(server):
    answer = _ask(server, "GET", "/v1/models/small", Origin=PAGE)
    assert _cors(answer) == {}
    assert _cors(_preflight(server, PAGE)) == {}


@pytest.mark.parametrize(
    "origin", ["page.example.org", PAGE + "/", PAGE + "/path", "HTTPS://Page.org", "https://", ""]
)
def test_what_is_no_origin_is_refused(origin):
    with pytest.raises(ConfigError, match="`--cors_allow_origin` must be"):
        cors_middleware([origin])


def test_what_is_no_origin_is_refused_at_the_start(tmp_path):
    line = refused("--model_base_path", tmp_path, "--cors_allow_origin", "example.org")
    assert line.endswith("but it is 'example.org'.")
