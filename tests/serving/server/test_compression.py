"""Answers in gzip: for clients that take it, where it pays."""

import gzip
import http.client
import json

import pytest

from tests.serving.server.conftest import SIZE

PREDICT = "/v1/models/small:predict"
MANY = {"signature_name": "rectify", "instances": [[[[0.5]] * SIZE[1]] * SIZE[0]] * 40}


def _ask(server, path: str, accept: str | None, body: object = None):
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=60)
    headers = {} if accept is None else {"Accept-Encoding": accept}
    # Without this, the client sends `Accept-Encoding: identity`.
    connection.putrequest("GET" if body is None else "POST", path, skip_accept_encoding=True)
    data = b"" if body is None else json.dumps(body).encode()
    for name, value in {**headers, "Content-Length": str(len(data))}.items():
        connection.putheader(name, value)
    connection.endheaders(data)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status == 200, content
    return answer, content


@pytest.mark.parametrize(
    "accept", ["gzip", "GZIP", "deflate, gzip;q=0.5", "br, gzip", "gzip;q=1.0, identity; q=0.1"]
)
def test_large_answers_are_compressed(server, accept):
    _, plain = _ask(server, PREDICT, None, MANY)
    answer, content = _ask(server, PREDICT, accept, MANY)
    assert answer.getheader("Content-Encoding") == "gzip"
    assert answer.getheader("Vary") == "Accept-Encoding"
    assert answer.getheader("Content-Type") == "application/json"
    assert len(content) < len(plain) / 2
    assert gzip.decompress(content) == plain


@pytest.mark.parametrize(
    "accept", [None, "", "identity", "br", "deflate", "gzip;q=0", "gzip; q=0.000", "xgzip"]
)
def test_others_get_what_they_read(server, accept):
    answer, content = _ask(server, PREDICT, accept, MANY)
    assert answer.getheader("Content-Encoding") is None
    # Caches must tell the two apart.
    assert answer.getheader("Vary") == "Accept-Encoding"
    assert json.loads(content)["predictions"]


def test_small_answers_are_left_as_they_are(server):
    for path in ("/v1/models/small", "/readyz"):
        assert _ask(server, path, "gzip")[0].getheader("Content-Encoding") is None


def test_metrics_are_compressed(server):
    answer, content = _ask(server, "/monitoring/prometheus/metrics", "gzip")
    assert answer.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(content).startswith(b"# HELP")
