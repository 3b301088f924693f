"""API keys: who may use the server, over either protocol."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import grpc
from aiohttp import web

from stn_tf.errors import ConfigError
from stn_tf.serving.protocol.status import Status
from stn_tf.serving.server.pages import OPEN_PATHS
from stn_tf.serving.server.rest_errors import Handler

_OPEN_METHODS = "/grpc.health.v1.Health/"
_OPEN_PATHS = ("/livez", "/readyz", *OPEN_PATHS)
_REFUSAL = "This server needs an API key. Send `authorization: Bearer KEY` or `x-api-key: KEY`."


class ApiKeys:
    """The keys that open the server; only their hashes are kept."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def allow(self, headers: Mapping[str, str]) -> bool:
        """Returns whether a request's headers, their names in small letters, carry a key."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = [headers.get("x-api-key", ""), token if scheme.lower() == "bearer" else ""]
        found = False
        for key in given:
            digest = _digest(key.strip())
            # Every key is compared, in constant time: how long it takes says nothing about them.
            for known in self._digests:
                found |= hmac.compare_digest(digest, known)
        return found


def read_api_keys(path: str | PathLike[str]) -> ApiKeys:
    """Reads a file with one key a line; empty lines and those that begin with # are left out.

    Raises:
        ConfigError: If the file cannot be read, holds no key, or one that no header can carry.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"`{path}` cannot be read: {reason}.") from None
    keys = []
    for number, line in enumerate(lines, start=1):
        key = line.strip()
        if not key or key.startswith("#"):
            continue
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigError(f"{path}, line {number}: a key is printable ASCII without spaces.")
        keys.append(key)
    if not keys:
        raise ConfigError(f"`{path}` holds no key. Write one on each line.")
    return ApiKeys(keys)


class ApiKeyInterceptor(grpc.ServerInterceptor):
    """Answers UNAUTHENTICATED to calls without a key; health stays open."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
        headers = {name: value for name, value in details.invocation_metadata if _is_text(value)}
        if details.method.startswith(_OPEN_METHODS) or self._keys.allow(headers):
            return continuation(details)
        # A stream, so that the request is not read first.
        return grpc.stream_unary_rpc_method_handler(_refuse)


def _is_text(value: str | bytes) -> bool:
    return isinstance(value, str)


def _refuse(requests: Any, context: grpc.ServicerContext) -> None:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, _REFUSAL)


def api_key_middleware(keys: ApiKeys) -> Any:
    """Returns what refuses HTTP requests without a key; probes and the playground stay open."""

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        if request.path not in _OPEN_PATHS and not keys.allow(headers):
            raise Status("UNAUTHENTICATED", _REFUSAL)
        return await handler(request)

    return checked


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
