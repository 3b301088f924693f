"""Carries requests over HTTP, with urllib3."""

import time

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, TimeoutError

from stn_tf.serving.client.exchange import Exchange, Reply
from stn_tf.serving.client.request_error import http_error, no_answer, timed_out
from stn_tf.serving.client.target import Target
from stn_tf.serving.protocol.model_spec import model_version

# Connections that are kept; more are opened when more threads ask at once.
_KEPT_CONNECTIONS = 16
_CHUNK_BYTES = 1 << 20


class HttpTransport:
    """A pool of connections; safe to use from many threads."""

    def __init__(self, target: Target) -> None:
        self._target = target
        host, _, port = target.address.rpartition(":")
        self._pool: urllib3.HTTPConnectionPool
        if target.tls is None:
            self._pool = urllib3.HTTPConnectionPool(
                host, int(port), maxsize=_KEPT_CONNECTIONS, retries=False
            )
        else:
            self._pool = urllib3.HTTPSConnectionPool(
                host,
                int(port),
                maxsize=_KEPT_CONNECTIONS,
                retries=False,
                ssl_context=target.tls.context(),
            )

    def send(self, exchange: Exchange, seconds: float) -> Reply:
        deadline = time.monotonic() + seconds
        headers = dict(self._target.headers)
        if exchange.body is not None:
            headers["content-type"] = exchange.content_type
        try:
            with self._pool.urlopen(
                "GET" if exchange.body is None else "POST",
                self._target.prefix + exchange.path,
                exchange.body,
                headers,
                timeout=urllib3.Timeout(total=seconds),
                redirect=False,
                preload_content=False,
            ) as answer:
                body = _read(answer, deadline)
        except NewConnectionError as error:  # To urllib3 a timeout, too.
            raise no_answer(self._target.url, _reason(error)) from None
        except TimeoutError:
            raise timed_out(self._target.url) from None
        except HTTPError as error:
            raise no_answer(self._target.url, _reason(error)) from None
        if answer.status != 200:
            raise http_error(answer.status, body)
        return Reply(body, model_version(answer.headers))

    def close(self) -> None:
        self._pool.close()


def _read(answer: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    # A timeout of urllib3 is of each wait: a server that sends a byte now and then outlasts it.
    parts = []
    while part := answer.read1(_CHUNK_BYTES):
        parts.append(part)
        if time.monotonic() > deadline:
            raise TimeoutError
    return b"".join(parts)


def _reason(error: HTTPError) -> str:
    # "HTTPConnection(host=..., port=...): Failed to ..." -> the last part
    return str(error.args[0] if error.args else error).split("): ", 1)[-1]
