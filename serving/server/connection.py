"""One HTTP connection: what is no HTTP is refused in JSON; who does not read is cut off."""

import asyncio
import socket
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from stn_tf.serving.protocol.status import invalid
from stn_tf.serving.server.rest_errors import refusal


class Connection(web.RequestHandler):
    """aiohttp's connection, with errors that TensorFlow Serving's clients read."""

    __slots__ = ("_patience",)

    def __init__(self, *args: Any, patience: float, **kwargs: Any) -> None:
        """Makes the protocol of a connection.

        Args:
            *args: aiohttp's.
            patience: Seconds in which the client must take what is sent, where the system can see
                to it; and, after the answer to a request, send the header of the next.
            **kwargs: aiohttp's.
        """
        super().__init__(*args, keepalive_timeout=patience, **kwargs)
        self._patience = patience

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes a connection."""
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_USER_TIMEOUT") and peer.family != socket.AF_UNIX:
            milliseconds = max(round(self._patience * 1000), 1)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answers what aiohttp could not read; the texts hold nothing of it: it may be a key."""
        if request.writer.output_size > 0:
            raise ConnectionError("The answer has begun; it cannot become an error.")
        text = (
            "Malformed request: it is not HTTP, one of its headers is damaged, or there are more "
            f"than {self.max_headers} of them."
        )
        if isinstance(exc, LineTooLong):
            status = 431
            text = f"The URL and each header may have {self.max_field_size} bytes."
        elif status >= 500:
            text = "The server could not answer."
        response = refusal(invalid(text), status)
        response.force_close()
        return response
