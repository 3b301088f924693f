"""Carries requests over HTTP in an event loop, with aiohttp."""

import io

import aiohttp

from stn_tf.serving.client.exchange import Exchange, Reply
from stn_tf.serving.client.request_error import http_error, no_answer, timed_out
from stn_tf.serving.client.target import Target
from stn_tf.serving.protocol.model_spec import model_version


class AiohttpTransport:
    """A pool of connections of the running event loop."""

    def __init__(self, target: Target) -> None:
        self._target = target
        tls = True if target.tls is None else target.tls.context()
        scheme = "http" if target.tls is None else "https"
        self._base = f"{scheme}://{target.address}{target.prefix}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=0),
            headers={**target.headers, "accept-encoding": "identity"},
        )

    async def send(self, exchange: Exchange, seconds: float) -> Reply:
        headers = {} if exchange.body is None else {"content-type": exchange.content_type}
        try:
            async with self._session.request(
                "GET" if exchange.body is None else "POST",
                self._base + exchange.path,
                # Sent in parts: other coroutines run while a large body goes out.
                data=None if exchange.body is None else io.BytesIO(exchange.body),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
            ) as answer:
                status, body = answer.status, await answer.read()
        except TimeoutError:
            raise timed_out(self._target.url) from None
        except (aiohttp.ClientError, OSError) as error:
            raise no_answer(self._target.url, str(error) or type(error).__name__) from None
        if status != 200:
            raise http_error(status, body)
        return Reply(body, model_version(answer.headers))

    async def close(self) -> None:
        await self._session.close()
