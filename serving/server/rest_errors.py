"""Refusals over REST: whatever goes wrong, the answer is JSON with TensorFlow Serving's texts."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from stn_tf.serving.protocol import rest_body
from stn_tf.serving.protocol.status import Status, invalid

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what a handler raises into an answer; the server goes on."""
    try:
        return await handler(request)
    except Status as error:
        return refusal(error)
    except web.HTTPRequestEntityTooLarge as error:
        return refusal(invalid(f"The body is too large: {error.text}"), 413)
    except web.HTTPRequestTimeout:
        response = refusal(invalid("The body did not come in time."), 408)
        response.force_close()
        return response
    except web.RequestPayloadError as error:
        return refusal(invalid(f"The body cannot be read: {error}"))
    except web.HTTPException as error:
        if request.path.startswith("/v1"):
            return refusal(malformed(request))
        return refusal(invalid(error.reason), error.status)
    except asyncio.CancelledError:
        raise
    except Exception as error:  # Whatever a model does, the server goes on.
        return refusal(Status("INTERNAL", f"{type(error).__name__}: {error}"))


def malformed(request: web.Request) -> Status:
    """Returns the refusal of a URL or method that the API does not have."""
    return invalid(f"Malformed request: {request.method} {request.path}")


def refusal(status: Status, http: int | None = None) -> web.Response:
    """Returns the answer with a status's text, under its HTTP status or another."""
    return web.Response(
        body=rest_body.error_body(status),
        status=http or status.http,
        content_type="application/json",
    )
