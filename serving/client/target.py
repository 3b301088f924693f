"""Where a server is, and how it is spoken to."""

import ssl
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from urllib.parse import urlsplit

from stn_tf.errors import ConfigError

_GRPC_PORT = 8500
_SECURE = ("grpcs", "https")
_EXAMPLES = "`grpc://HOST:8500`, `grpcs://`, `unix:/PATH`, `http://HOST:8501` or `https://`"

PathLikeText = str | PathLike[str]


@dataclass(frozen=True)
class Tls:
    """How a connection is secured: files in PEM format.

    Attributes:
        ca: Who signs the server's certificate; None for those that the system trusts.
        certificate: What the client shows, with its private `key`.
    """

    ca: Path | None
    certificate: Path | None
    key: Path | None

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Returns the files' contents: certificate authority, key, certificate."""
        ca, key, certificate = (
            None if path is None else _read(path) for path in (self.ca, self.key, self.certificate)
        )
        return ca, key, certificate

    def context(self) -> ssl.SSLContext:
        """Returns what Python's own TLS takes."""
        self.read()  # A file that is not there has a better error so.
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except ssl.SSLError as error:
            raise ConfigError(
                f"`ca`, `certificate` and `key` must be PEM files that fit each other: {error}"
            ) from None
        return context


@dataclass(frozen=True)
class Target:
    """A server.

    Attributes:
        url: As it was given.
        rest: Whether it speaks REST rather than gRPC.
        address: `host:port`, or `unix:/path`.
        prefix: What every path of REST begins with; empty for none.
        tls: None for a connection that is not secured.
        headers: Sent with every request.
    """

    url: str
    rest: bool
    address: str
    prefix: str
    tls: Tls | None
    headers: dict[str, str]


def parse_target(
    url: str,
    api_key: str | None = None,
    ca: PathLikeText | None = None,
    certificate: PathLikeText | None = None,
    key: PathLikeText | None = None,
) -> Target:
    """Reads an address and what goes with it; the arguments are those of `Client`.

    Raises:
        ConfigError: If one of them cannot be.
    """
    if (certificate is None) != (key is None):
        raise ConfigError("`certificate` and `key` must be given together.")
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key):
        raise ConfigError("`api_key` must be of printable ASCII characters, and not empty.")
    headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
    scheme = url.partition(":")[0].lower()
    tls = None
    if scheme in _SECURE:
        tls = Tls(*(None if file is None else Path(file) for file in (ca, certificate, key)))
        tls.context()  # Bad files are refused here, where they were given.
    elif ca is not None or certificate is not None:
        raise ConfigError(
            f"`ca` and `certificate` are for `grpcs://` and `https://`, but `target` is {url!r}."
        )
    if scheme == "unix":
        path = url.partition(":")[2]
        return Target(url, False, f"unix:{_unix_path(url, path)}", "", None, headers)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"`target` is no address ({error}): {url!r}.") from None
    rest = scheme in ("http", "https")
    odd = parts.query or parts.fragment or parts.username is not None
    if not host or odd or not (rest or (scheme in ("grpc", "grpcs") and parts.path in ("", "/"))):
        raise ConfigError(f"`target` must be {_EXAMPLES}, but it is {url!r}.")
    if port is None:
        port = (443 if tls else 80) if rest else _GRPC_PORT
    host = f"[{host}]" if ":" in host else host
    return Target(url, rest, f"{host}:{port}", parts.path.rstrip("/"), tls, headers)


def _unix_path(url: str, path: str) -> str:
    path = path.removeprefix("//")
    if not path or path.startswith("//"):
        raise ConfigError(f"`target` must be {_EXAMPLES}, but it is {url!r}.")
    return path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read: {error.strerror}.") from None
