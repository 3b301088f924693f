"""The REST side: TensorFlow Serving's URLs and JSON, and raw images and arrays."""

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web

from stn_tf.serving.protocol import rest_body
from stn_tf.serving.protocol.rest_messages import message_body
from stn_tf.serving.protocol.status import Status, invalid
from stn_tf.serving.server import model_info, rest_predict
from stn_tf.serving.server.service import ModelService

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

METRICS_PATH = "/monitoring/prometheus/metrics"
_PLACE = (
    r"/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
)
_POST = re.compile(_PLACE + r":(?P<verb>predict|classify|regress)")
_GET = re.compile(_PLACE + r"(?P<metadata>/metadata)?")


class RestServer:
    """An HTTP server in the running event loop.

    Args:
        service: What answers.
        threads: Requests that are computed at once.
        max_body: Bytes that a request's body may have.
        timeout: Seconds after which a request is answered DEADLINE_EXCEEDED.
    """

    def __init__(
        self,
        service: ModelService,
        *,
        threads: int = 16,
        max_body: int = 256 * 2**20,
        timeout: float = 30.0,
    ) -> None:
        self._service = service
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rest")
        self._timeout = timeout
        self.draining = False
        app = web.Application(client_max_size=max_body, middlewares=[_errors])
        app.router.add_get(METRICS_PATH, self._metrics)
        app.router.add_get("/livez", self._live)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/{rest:.*}", self._get)
        app.router.add_post("/v1/{rest:.*}", self._post)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def listen(
        self, host: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> tuple[str, int]:
        """Starts to listen, and returns the address; port 0 takes a free one."""
        if self._runner.server is None:
            await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=tls)
        await site.start()
        address: tuple[str, int] = self._runner.addresses[-1][:2]
        return address

    async def close(self, drain_seconds: float) -> None:
        """Takes no more requests, and waits for those in flight."""
        self._runner._shutdown_timeout = drain_seconds
        await self._runner.cleanup()
        self._pool.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._service.metrics.text(), content_type="text/plain")

    async def _live(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, request: web.Request) -> web.Response:
        state = None if self.draining else model_info.health(self._service.store, "")
        if state != "SERVING":
            return web.Response(status=503, text="not ready\n")
        return web.Response(text="ok\n")

    async def _models(self, request: web.Request) -> web.Response:
        return _answer(rest_body.write(model_info.models_json(self._service.store)))

    async def _get(self, request: web.Request) -> web.Response:
        place = _GET.fullmatch(request.path)
        if place is None:
            raise _malformed(request)
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
            raise _malformed(request)
        body = await request.read()
        deadline = time.monotonic() + self._timeout
        name, version, label = _place(place)
        kind = request.content_type

        def work() -> tuple[bytes, str]:
            with self._service.counted(name, place["verb"].capitalize(), "REST"):
                return rest_predict.answer(
                    self._service, (name, version, label), place["verb"], kind, body, deadline
                )

        found, content_type = await self._in_thread(work)
        return web.Response(body=found, content_type=content_type)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Status as error:
        return _refusal(error)
    except web.HTTPRequestEntityTooLarge as error:
        return _refusal(invalid(f"The body is too large: {error.text}"), 413)
    except web.HTTPException as error:
        if request.path.startswith("/v1"):
            return _refusal(_malformed(request))
        return _refusal(invalid(error.reason), error.status)
    except asyncio.CancelledError:
        raise
    except Exception as error:  # Whatever a model does, the server goes on.
        return _refusal(Status("INTERNAL", f"{type(error).__name__}: {error}"))


def _place(found: re.Match[str]) -> tuple[str, int | None, str | None]:
    version = found["version"]
    return found["name"], None if version is None else int(version), found["label"]


def _malformed(request: web.Request) -> Status:
    return invalid(f"Malformed request: {request.method} {request.path}")


def _refusal(status: Status, http: int | None = None) -> web.Response:
    return _answer(rest_body.error_body(status), http or status.http)


def _answer(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
