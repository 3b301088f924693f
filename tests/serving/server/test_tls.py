"""TLS and mutual TLS on both protocols, with clients that know and do not know the authority."""

import json
import socket
import ssl
import urllib.request
from pathlib import Path

import grpc
import pytest
import trustme

from stn_tf.errors import ConfigError
from stn_tf.serving.server.tls import read_tls
from tests.serving.server.running import refused, running

SERVING = b"\x08\x01"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def stranger() -> trustme.CA:
    return trustme.CA()


def _field(name: str, pem: bytes) -> str:
    return f"{name}: {json.dumps(pem.decode())}\n"


def _config(
    folder: Path, authority: trustme.CA, *, verify: bool = False, **changes: bytes | None
) -> Path:
    issued = authority.issue_cert("127.0.0.1")
    fields: dict[str, bytes | None] = {
        "server_key": issued.private_key_pem.bytes(),
        "server_cert": issued.cert_chain_pems[0].bytes(),
        "custom_ca": authority.cert_pem.bytes(),
    } | changes
    text = "".join(_field(name, pem) for name, pem in fields.items() if pem is not None)
    path = folder / "ssl.config"
    path.write_text(text + f"client_verify: {str(verify).lower()}\n")
    return path


def _grpc_health(port: int, authority: trustme.CA, client: trustme.LeafCert | None = None) -> bytes:
    credentials = grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(),
        None if client is None else client.private_key_pem.bytes(),
        None if client is None else client.cert_chain_pems[0].bytes(),
    )
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        return channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=60)


def _https_health(
    port: int, authority: trustme.CA, client: trustme.LeafCert | None = None
) -> bytes:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if client is not None:
        client.configure_cert(context)
    url = f"https://127.0.0.1:{port}/readyz"
    with urllib.request.urlopen(url, context=context, timeout=60) as answer:
        return answer.read()


def test_tls(tmp_path, base_path, authority, stranger):
    with running(base_path, "--ssl_config_file", _config(tmp_path, authority)) as server:
        assert _grpc_health(server.port, authority) == SERVING
        assert _https_health(server.rest_port, authority) == b"ok\n"
        with pytest.raises(grpc.RpcError) as refusal:
            _grpc_health(server.port, stranger)
        assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            _https_health(server.rest_port, stranger)
        # Nothing is answered in the clear.
        with socket.create_connection(("127.0.0.1", server.rest_port), timeout=60) as plain:
            plain.sendall(b"GET /readyz HTTP/1.1\r\nHost: here\r\n\r\n")
            assert b"HTTP" not in plain.recv(1000)
        assert _https_health(server.rest_port, authority) == b"ok\n"


def test_old_tls_is_refused(tmp_path, base_path, authority):
    context = read_tls(_config(tmp_path, authority)).ssl_context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_clients_must_show_a_certificate(tmp_path, base_path, authority, stranger):
    known = authority.issue_cert("client.example.org")
    unknown = stranger.issue_cert("client.example.org")
    with running(
        base_path, "--ssl_config_file", _config(tmp_path, authority, verify=True)
    ) as server:
        assert _grpc_health(server.port, authority, known) == SERVING
        assert _https_health(server.rest_port, authority, known) == b"ok\n"
        for client in (None, unknown):
            with pytest.raises(grpc.RpcError) as refusal:
                _grpc_health(server.port, authority, client)
            assert refusal.value.code() == grpc.StatusCode.UNAVAILABLE
            with pytest.raises(OSError, match=r"(?i)alert|reset|closed"):
                _https_health(server.rest_port, authority, client)
        assert _https_health(server.rest_port, authority, known) == b"ok\n"


def test_a_file_name_in_place_of_pem_is_refused_at_the_start(tmp_path, authority):
    path = _config(tmp_path, authority, server_key=b"/etc/ssl/key.pem")
    line = refused("--model_base_path", tmp_path, "--ssl_config_file", path)
    assert "`server_key` must hold PEM text" in line


def test_files_that_cannot_be(tmp_path, authority, stranger):
    other = stranger.issue_cert("127.0.0.1").private_key_pem.bytes()
    broken = b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"
    for changes, verify, message in [
        ({"server_key": None}, False, "`server_key` must hold PEM text"),
        ({"server_key": other}, False, "cannot be used: KEY_VALUES_MISMATCH"),
        ({"server_cert": broken}, False, "cannot be used"),
        ({"custom_ca": None}, True, "`client_verify` needs `custom_ca`"),
        ({"custom_ca": broken}, True, "cannot be used"),
    ]:
        with pytest.raises(ConfigError, match=message) as error:
            read_tls(_config(tmp_path, authority, verify=verify, **changes))
        assert other.decode()[40:80] not in str(error.value)
    path = tmp_path / "ssl.config"
    path.write_text("server_kei: 'x'")
    with pytest.raises(ConfigError, match=r"text-format tensorflow.serving.SSLConfig in .*1:1"):
        read_tls(path)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_tls(tmp_path / "none")


def test_an_encrypted_key_is_refused_without_a_question(tmp_path, authority):
    from cryptography.hazmat.primitives import serialization

    issued = authority.issue_cert("127.0.0.1")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    with pytest.raises(ConfigError, match="must be unencrypted"):
        read_tls(
            _config(
                tmp_path,
                authority,
                server_key=encrypted,
                server_cert=issued.cert_chain_pems[0].bytes(),
            )
        )


def test_keys_are_not_shown(tmp_path, authority):
    assert "PRIVATE KEY" not in repr(read_tls(_config(tmp_path, authority)))
