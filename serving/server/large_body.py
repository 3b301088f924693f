"""Large bodies of requests, received where they will stay.

aiohttp copies a body four times, in pieces. Here the part of it that has not come yet when its
handler asks for it goes from the socket straight into its memory: until then another protocol has
the connection.
"""

import asyncio
import socket
import sys

import numpy as np
from aiohttp import web

# Smaller ones come with their header, or soon after.
_LEAST_BYTES = 64 << 10
_PIECE = bytes(128 << 10)
# So much is received at once, where the system can be told to wake nobody before.
_CHUNK_BYTES = 1 << 20


def is_large(request: web.Request) -> bool:
    """Whether a request announces a large body, which is to be taken as it comes."""
    plain = not request.headers.get("Content-Encoding")
    return plain and (request.content_length or 0) >= _LEAST_BYTES


async def receive(request: web.Request) -> memoryview:
    """Returns the body of a request of which `is_large` is true.

    May be cancelled; then aiohttp goes on with what is left of the body.

    Raises:
        ConnectionError: If the client has gone.
    """
    assert request.content_length is not None
    # Memory that is not written yet costs nothing: an announcement alone takes none.
    body = np.empty(request.content_length, np.uint8).data
    filled = 0
    while data := request.content.read_nowait():
        body[filled : filled + len(data)] = data
        filled += len(data)
    if filled < len(body):
        await _receive_rest(request, body[filled:])
    return body


async def _receive_rest(request: web.Request, rest: memoryview) -> None:
    if request.transport is None:
        raise ConnectionResetError("The client has gone.")
    receiver = _Receiver(request, request.transport, rest)
    try:
        await receiver.done
    finally:
        receiver.leave()


class _Receiver(asyncio.BufferedProtocol):
    """Takes a connection over from aiohttp until memory is filled from it."""

    def __init__(
        self, request: web.Request, transport: asyncio.Transport, memory: memoryview
    ) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self._connection = request.protocol
        self._content = request.content
        self._transport = transport
        self._memory = memory
        self._received = 0
        # TLS reads ahead: the system does not know what is still to come.
        self._counts = sys.platform == "linux" and not transport.get_extra_info("sslcontext")
        self._wake_at(len(memory))
        transport.set_protocol(self)
        transport.resume_reading()

    def leave(self) -> None:
        """Gives the connection back; aiohttp's parser hears how much of the body went past it."""
        if self._connection.transport is None or self._transport.get_protocol() is not self:
            return
        self._wake_at(1)
        self._transport.set_protocol(self._connection)
        for left in range(self._received, 0, -len(_PIECE)):
            self._connection.data_received(_PIECE[:left])
            self._content.read_nowait()

    def get_buffer(self, sizehint: int) -> memoryview:
        # What comes behind the body stays in the socket.
        return self._memory[self._received :]

    def buffer_updated(self, nbytes: int) -> None:
        self._received += nbytes
        left = len(self._memory) - self._received
        if left:
            self._wake_at(left)
            return
        # At once: the next request may follow.
        self.leave()
        if not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("The client has gone."))

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def _wake_at(self, count: int) -> None:
        """Asks the system to wait until so many bytes have come."""
        if self._counts:
            socket_of = self._transport.get_extra_info("socket")
            low_water = min(count, _CHUNK_BYTES)
            socket_of.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, low_water)
