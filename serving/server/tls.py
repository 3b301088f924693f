"""TLS for both protocols, from TensorFlow Serving's `--ssl_config_file`."""

import ssl
import tempfile
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import grpc

from stn_tf.errors import ConfigError
from stn_tf.serving.protocol.messages import SSLConfig
from stn_tf.serving.protocol.text_message import read_text_message


@dataclass(frozen=True)
class Tls:
    """The server's certificate, and whose clients it takes.

    Attributes:
        key: The private key, PEM.
        certificate: The certificate and those above it, PEM.
        client_ca: Clients must show a certificate of one of these, PEM; None takes any client.
    """

    key: str = field(repr=False)
    certificate: str
    client_ca: str | None = None

    def ssl_context(self) -> ssl.SSLContext:
        """Returns what an HTTP server needs: TLS 1.2 or later.

        Raises:
            ssl.SSLError: If the key is not that of the certificate, or one of them is damaged.
        """
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.set_alpn_protocols(["http/1.1"])
        # The ssl module reads keys from files only; this folder is the user's alone.
        with tempfile.TemporaryDirectory() as folder:
            key, certificate = Path(folder, "key.pem"), Path(folder, "certificate.pem")
            key.write_text(self.key, encoding="ascii")
            certificate.write_text(self.certificate, encoding="ascii")
            # An encrypted key is refused; without a password OpenSSL would ask the terminal.
            context.load_cert_chain(certificate, key, password="")
        if self.client_ca is not None:
            context.load_verify_locations(cadata=self.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Returns what a gRPC server needs."""
        return grpc.ssl_server_credentials(
            [(self.key.encode(), self.certificate.encode())],
            root_certificates=None if self.client_ca is None else self.client_ca.encode(),
            require_client_auth=self.client_ca is not None,
        )


def read_tls(path: str | PathLike[str]) -> Tls:
    """Reads an `SSLConfig`, whose fields hold PEM text, and tries what it says.

    Raises:
        ConfigError: If the file cannot be read, a field is missing or is no PEM, or key and
            certificate do not belong together.
    """
    config = read_text_message(path, SSLConfig)
    for name in ("server_key", "server_cert", "custom_ca"):
        text = getattr(config, name)
        if name == "custom_ca" and not text:
            if config.client_verify:
                raise ConfigError(f"{path}: `client_verify` needs `custom_ca`, whose clients pass.")
            continue
        if "-----BEGIN " not in text or not text.isascii():
            raise ConfigError(
                f"{path}: `{name}` must hold PEM text, as TensorFlow Serving reads it, not the "
                "name of a file. Put the file's lines there, each ended by \\n."
            )
    found = Tls(
        config.server_key, config.server_cert, config.custom_ca if config.client_verify else None
    )
    try:
        found.ssl_context()
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(
            f"{path}: `server_key`, `server_cert` or `custom_ca` cannot be used: {reason}. The key "
            "must be unencrypted and that of the certificate."
        ) from None
    return found
