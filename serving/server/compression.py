"""Answers in gzip, for clients that take it."""

import re

from aiohttp import web

from stn_tf.serving.server.rest_errors import Handler

# About one network packet: below it, gzip saves nothing.
_LEAST_BYTES = 1400
_REFUSED = re.compile(r"q=0(\.0*)?")


@web.middleware
async def compressed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Compresses large JSON and text where Accept-Encoding allows gzip."""
    response = await handler(request)
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return response
    text = response.content_type == "application/json" or response.content_type.startswith("text/")
    if text and len(response.body) >= _LEAST_BYTES:
        response.headers.add("Vary", "Accept-Encoding")
        if _takes_gzip(request.headers.get("Accept-Encoding", "")):
            response.enable_compression(web.ContentCoding.gzip)
    return response


def _takes_gzip(accepted: str) -> bool:
    for choice in accepted.lower().split(","):
        coding, _, weight = choice.partition(";")
        if coding.strip() == "gzip":
            return not _REFUSED.fullmatch(weight.strip())
    return False
