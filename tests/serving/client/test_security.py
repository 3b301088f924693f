"""TLS, certificates of clients, and API keys."""

import json
from pathlib import Path

import pytest
import trustme

from stn_tf.serving.client import RequestError
from tests.serving.client.conftest import asker
from tests.serving.server.running import running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A server's configuration, and what clients of it need."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("me@example.org")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other.pem")
    client.private_key_pem.write_to_path(folder / "key.pem")
    client.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
    fields = {
        "server_key": server.private_key_pem,
        "server_cert": server.cert_chain_pems[0],
        "custom_ca": authority.cert_pem,
    }
    lines = [f"{name}: {json.dumps(pem.bytes().decode())}" for name, pem in fields.items()]
    (folder / "ssl.config").write_text("\n".join([*lines, "client_verify: true"]))
    (folder / "keys").write_text("the-key\n")
    return folder


@pytest.fixture(scope="module")
def secured(base_path, files):
    options = ("--ssl_config_file", files / "ssl.config", "--api_keys_file", files / "keys")
    with running(base_path, *options) as server:
        yield server


@pytest.mark.parametrize("scheme", ["grpcs", "https"])
def test_who_is_let_in(secured, files, kind, pictures, scheme):
    port = secured.rest_port if scheme == "https" else secured.port
    target = f"{scheme}://127.0.0.1:{port}"
    known = {"certificate": files / "certificate.pem", "key": files / "key.pem"}
    own, key = {"ca": files / "ca.pem", **known}, {"api_key": "the-key"}
    answer = asker(target, kind, **own, **key)("predict", pictures, model="small")
    assert answer.outputs["class"].shape == (3,)
    assert asker(target, kind, **own)("live") is True
    for wrong in ({}, {"api_key": "another"}):
        with pytest.raises(RequestError, match="UNAUTHENTICATED: This server needs") as error:
            asker(target, kind, **own, **wrong)("predict", pictures, model="small")
        assert "as `api_key`" in error.value.cure
        assert "another" not in str(error.value)
    plain = target.replace("s://", "://")
    for address, options in (
        (target, {"ca": files / "ca.pem"}),
        (target, {"ca": files / "other.pem", **known}),
        (target, known),
        (plain, {}),
    ):
        with pytest.raises(RequestError, match="UNAVAILABLE"):
            asker(address, kind, retries=0, **options, **key)("status", "small")
