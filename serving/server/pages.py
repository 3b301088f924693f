"""What people read with a browser: the playground and the API's document."""

from functools import cache
from importlib import resources
from typing import Any

from aiohttp import web

from stn_tf import __version__
from stn_tf.serving.models.store import ModelStore
from stn_tf.serving.protocol import json_writer
from stn_tf.serving.server import openapi

_FILES = {
    "/": ("index.html", "text/html"),
    "/playground.js": ("playground.js", "text/javascript"),
    "/drawing.js": ("drawing.js", "text/javascript"),
    "/telling.js": ("telling.js", "text/javascript"),
    "/playground.css": ("playground.css", "text/css"),
}
# They hold nothing of the models: who has no API key may read them, and enter one.
OPEN_PATHS = tuple(_FILES)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_pages(app: web.Application, store: ModelStore, *, keys: bool) -> None:
    """Adds the pages to an application.

    Args:
        app: The application.
        store: The models that the document describes.
        keys: Whether requests need an API key.
    """

    async def document(request: web.Request) -> web.Response:
        found = openapi.document(store, __version__, keys=keys)
        return web.Response(body=json_writer.write(found), content_type="application/json")

    app.router.add_get("/openapi.json", document)
    for path in _FILES:
        app.router.add_get(path, _file)


async def _file(request: web.Request) -> web.Response:
    name, content_type = _FILES[request.path]
    headers = {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return web.Response(
        body=_read(name), content_type=content_type, charset="utf-8", headers=headers
    )


@cache
def _read(name: str) -> Any:
    return resources.files(__package__).joinpath("page", name).read_bytes()
