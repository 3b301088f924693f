"""The REST side: TensorFlow Serving's URLs and JSON, and raw images and arrays."""

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from stn_tf.serving.protocol import json_writer
from stn_tf.serving.protocol.model_spec import VERSION_HEADER
from stn_tf.serving.protocol.rest_messages import message_body
from stn_tf.serving.server import model_info, rest_predict
from stn_tf.serving.server.api_keys import ApiKeys, api_key_middleware
from stn_tf.serving.server.compression import compressed
from stn_tf.serving.server.connection import Connection
from stn_tf.serving.server.cors import cors_middleware
from stn_tf.serving.server.health import Health
from stn_tf.serving.server.large_body import is_large, receive
from stn_tf.serving.server.monitoring import METRICS_PATH
from stn_tf.serving.server.pages import add_pages
from stn_tf.serving.server.quick_requests import QuickRequests
from stn_tf.serving.server.rest_errors import Handler, errors, malformed
from stn_tf.serving.server.service import ModelService

_PLACE = (
    r"/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>[0-9]{1,19})|/labels/(?P<label>[^/:]+))?"
)
_POST = re.compile(_PLACE + r":(?P<verb>predict|classify|regress)")
_GET = re.compile(_PLACE + r"(?P<metadata>/metadata)?")


class RestServer:
    """An HTTP server in the running event loop.

    Args:
        service: What answers.
        health: What answers for the state of the server.
        threads: Requests that are computed at once, beside those that are quick.
        batching: Whether requests wait to be computed together: then none is quick.
        timeout: Seconds after which a request is answered DEADLINE_EXCEEDED.
        read_timeout: Seconds in which a client must have sent a request's body, and, after the
            answer to the one before, its header; and the longest that it may read nothing.
        max_body: Bytes that a request's body may have.
        metrics_path: Where metrics are; None for nowhere.
        tls: Makes it HTTPS.
        keys: Who may call; None for everybody.
        origins: Whose pages may call, as `cors_middleware` has them.

    Raises:
        ConfigError: If an origin is none.
    """

    def __init__(
        self,
        service: ModelService,
        health: Health,
        *,
        threads: int = 16,
        batching: bool = False,
        timeout: float = 30.0,
        read_timeout: float = 60.0,
        max_body: int = 256 * 2**20,
        metrics_path: str | None = METRICS_PATH,
        tls: ssl.SSLContext | None = None,
        keys: ApiKeys | None = None,
        origins: Sequence[str] = (),
    ) -> None:
        self._service = service
        self._health = health
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rest")
        self._quick = None if batching else QuickRequests()
        self._timeout = timeout
        self._read_timeout = read_timeout
        self._max_body = max_body
        self._tls = tls
        middlewares = [self._counted, cors_middleware(origins), compressed, errors]
        if keys is not None:
            middlewares.append(api_key_middleware(keys))
        app = web.Application(client_max_size=max_body, middlewares=middlewares)
        if metrics_path is not None:
            app.router.add_get(metrics_path, self._metrics)
        add_pages(app, service.store, keys=keys is not None)
        app.router.add_get("/livez", self._live)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/{rest:.*}", self._get)
        app.router.add_post("/v1/{rest:.*}", self._post)
        self._runner = web.AppRunner(app, handle_signals=False)
        self._listeners: list[asyncio.Server] = []
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False

    async def listen(self, host: str, port: int) -> int:
        """Starts to listen, and returns the port; 0 takes a free one."""
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            await self._connections(), host, port, ssl=self._tls, backlog=128
        )
        self._listeners.append(listener)
        number: int = listener.sockets[0].getsockname()[1]
        return number

    async def listen_unix(self, path: Path) -> None:
        """Starts to listen on a Unix socket."""
        loop = asyncio.get_running_loop()
        listener = await loop.create_unix_server(
            await self._connections(), path, ssl=self._tls, backlog=128
        )
        self._listeners.append(listener)

    async def _connections(self) -> Callable[[], Connection]:
        if self._runner.server is None:
            await self._runner.setup()
        server, loop = self._runner.server, asyncio.get_running_loop()
        assert server is not None
        return lambda: Connection(server, loop=loop, patience=self._read_timeout)

    async def close(self, drain_seconds: float) -> None:
        """Takes no more connections, and waits for the requests in flight."""
        self._closing = True
        for listener in self._listeners:
            listener.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_seconds):
                await self._idle.wait()
                await self._runner.cleanup()
        self._pool.shutdown(wait=False)

    @web.middleware
    async def _counted(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._in_flight += 1
        self._idle.clear()
        try:
            response = await handler(request)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
        if self._closing:
            response.force_close()
        return response

    async def _compute(
        self, kind: Hashable, work: Callable[[], rest_predict.Answer]
    ) -> rest_predict.Answer:
        def timed() -> tuple[rest_predict.Answer, float, float]:
            start, cpu_start = time.perf_counter(), time.thread_time()
            answer = work()
            return answer, time.perf_counter() - start, time.thread_time() - cpu_start

        threaded = self._quick is None or not self._quick.includes(kind)
        if threaded:
            loop = asyncio.get_running_loop()
            found, *spent = await loop.run_in_executor(self._pool, timed)
        else:
            found, *spent = timed()
        if self._quick is not None:
            self._quick.took(kind, *spent, threaded=threaded)
        return found

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._service.metrics.text(), content_type="text/plain")

    async def _live(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, request: web.Request) -> web.Response:
        if self._health.state() != "SERVING":
            return web.Response(status=503, text="not ready\n")
        return web.Response(text="ok\n")

    async def _models(self, request: web.Request) -> web.Response:
        return _answer(json_writer.write(model_info.models_json(self._service.store)))

    async def _get(self, request: web.Request) -> web.Response:
        place = _GET.fullmatch(request.path)
        if place is None:
            raise malformed(request)
        name, version, label = _place(place)
        if place["metadata"] is not None:
            with self._service.held(name, version, label) as held:
                return _answer(message_body(model_info.metadata(held)))
        if label is not None:
            with self._service.held(name, None, label) as held:
                version = held.version
        return _answer(message_body(model_info.status(self._service.store, name, version)))

    async def _post(self, request: web.Request) -> web.Response:
        place = _POST.fullmatch(request.path)
        if place is None:
            raise malformed(request)
        body = await self._body(request)
        deadline = time.monotonic() + self._timeout
        name, version, label = _place(place)
        verb, kind = place["verb"], request.content_type
        signature = request.query.get("signature_name", "")

        def work() -> rest_predict.Answer:
            with self._service.counted(name, verb.capitalize(), "REST"):
                return rest_predict.answer(
                    self._service, (name, version, label), verb, kind, body, signature, deadline
                )

        alike = (request.path, signature, kind, len(body).bit_length())
        found = await self._compute(alike, work)
        response = _answer(found.body)
        response.headers[VERSION_HEADER] = str(found.version)
        return response

    async def _body(self, request: web.Request) -> bytes | memoryview:
        if (request.content_length or 0) > self._max_body:
            raise web.HTTPRequestEntityTooLarge(self._max_body)
        if request.content.is_eof():  # It has come with its header.
            return await request.read()
        try:
            async with asyncio.timeout(self._read_timeout):
                return await (receive(request) if is_large(request) else request.read())
        except TimeoutError:
            raise web.HTTPRequestTimeout from None


def _place(found: re.Match[str]) -> tuple[str, int | None, str | None]:
    version = found["version"]
    return found["name"], None if version is None else int(version), found["label"]


def _answer(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
