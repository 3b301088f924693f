"""Cross-origin requests: whether pages of other sites may use the REST API."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from stn_tf.errors import ConfigError
from stn_tf.serving.protocol.model_spec import VERSION_HEADER
from stn_tf.serving.server.rest_errors import Handler

# How long a browser may keep the answer to a preflight; browsers cap it at this.
_MAX_AGE_SECONDS = 7200


def cors_middleware(origins: Sequence[str]) -> Any:
    """Returns what answers preflights and marks answers; other origins get no such headers.

    Args:
        origins: `SCHEME://HOST[:PORT]` each, or `*` for all.

    Raises:
        ConfigError: If one is no origin.
    """
    for origin in origins:
        _check(origin)

    @web.middleware
    async def marked(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if origin is None or not request.path.startswith("/v1/"):
            return await handler(request)
        allowed = "*" if "*" in origins else origin if origin in origins else None
        asked = request.headers.get("Access-Control-Request-Method")
        if request.method == "OPTIONS" and asked is not None:
            response: web.StreamResponse = web.Response(status=204)
            if allowed is not None:
                response.headers["Access-Control-Allow-Methods"] = "GET, POST"
                response.headers["Access-Control-Max-Age"] = str(_MAX_AGE_SECONDS)
                headers = request.headers.get("Access-Control-Request-Headers")
                if headers is not None:
                    response.headers["Access-Control-Allow-Headers"] = headers
        else:
            response = await handler(request)
            if allowed is not None:
                response.headers["Access-Control-Expose-Headers"] = VERSION_HEADER
        if allowed is not None:
            response.headers["Access-Control-Allow-Origin"] = allowed
        if allowed != "*":
            response.headers.add("Vary", "Origin")
        return response

    return marked


def _check(origin: str) -> None:
    if origin == "*":
        return
    parts = urlsplit(origin)
    if not parts.netloc or origin != f"{parts.scheme}://{parts.netloc}".lower():
        raise ConfigError(
            "`--cors_allow_origin` must be `*` or an origin in small letters, such as "
            f"`https://example.org`, but it is {origin!r}."
        )
