"""Addresses, and what goes with them."""

import pytest

from stn_tf.errors import ConfigError
from stn_tf.serving.client import AsyncClient, Client
from stn_tf.serving.client.target import parse_target


@pytest.mark.parametrize(
    ("url", "rest", "address", "prefix"),
    [
        ("grpc://host:9", False, "host:9", ""),
        ("grpc://host", False, "host:8500", ""),
        ("grpcs://[::1]:9/", False, "[::1]:9", ""),
        ("unix:/tmp/a b", False, "unix:/tmp/a b", ""),
        ("unix:///tmp/a", False, "unix:/tmp/a", ""),
        ("http://host", True, "host:80", ""),
        ("http://host:8501/", True, "host:8501", ""),
        ("https://host/a/b/", True, "host:443", "/a/b"),
    ],
)
def test_addresses(url, rest, address, prefix):
    target = parse_target(url)
    assert (target.url, target.rest, target.address, target.prefix) == (url, rest, address, prefix)
    assert (target.tls is not None) == (url.split(":")[0] in ("grpcs", "https"))
    assert target.headers == {}
    assert parse_target(url, "key").headers == {"authorization": "Bearer key"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "host:8500"}, "`target` must be `grpc://HOST:8500`"),
        ({"target": ""}, "`target` must be `grpc://HOST:8500`"),
        ({"target": "grpc://"}, "`target` must be"),
        ({"target": "grpc://host/path"}, "`target` must be"),
        ({"target": "http://host?a=b"}, "`target` must be"),
        ({"target": "http://me@host"}, "`target` must be"),
        ({"target": "unix:"}, "`target` must be"),
        ({"target": "http://host:port"}, "`target` is no address"),
        ({"target": "http://[::1"}, "`target` is no address"),
        ({"api_key": "a\nb"}, "`api_key` must be of printable ASCII"),
        ({"api_key": ""}, "`api_key` must be of printable ASCII"),
        ({"certificate": "a"}, "`certificate` and `key` must be given together"),
        ({"ca": "a"}, "are for `grpcs://` and `https://`"),
        ({"target": "https://host", "ca": "/none"}, "`/none` cannot be read: No such file"),
        ({"retries": -1}, "`retries` must be at least 0"),
        ({"timeout": float("inf")}, "`timeout` must be seconds above 0"),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_cannot_be(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**{"target": "grpc://host", **arguments})


def test_files_that_are_no_certificates(tmp_path):
    (tmp_path / "ca").write_text("nothing")
    with pytest.raises(ConfigError, match="must be PEM files that fit each other"):
        Client("grpcs://host", ca=tmp_path / "ca")
