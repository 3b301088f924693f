"""Carries requests over gRPC."""

from typing import Any

import grpc
import grpc.aio

from stn_tf.serving.client.exchange import Exchange, Reply
from stn_tf.serving.client.request_error import RequestError
from stn_tf.serving.client.target import Target

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # What is sent again is sent by us; a channel waits for a new connection up to two minutes.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # As over REST.
    ("grpc.enable_http_proxy", 0),
]


class GrpcTransport:
    """A channel; safe to use from many threads."""

    def __init__(self, target: Target) -> None:
        self._metadata = tuple(target.headers.items())
        self._channel = _channel(grpc, target)

    def send(self, exchange: Exchange, seconds: float) -> Reply:
        call = self._channel.unary_unary(exchange.path)
        try:
            answer: bytes = call(exchange.body, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _refusal(error) from None
        return Reply(answer)

    def close(self) -> None:
        self._channel.close()


class AsyncGrpcTransport:
    """A channel of the running event loop."""

    def __init__(self, target: Target) -> None:
        self._metadata = tuple(target.headers.items())
        self._channel = _channel(grpc.aio, target)

    async def send(self, exchange: Exchange, seconds: float) -> Reply:
        call = self._channel.unary_unary(exchange.path)
        try:
            answer: bytes = await call(exchange.body, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise _refusal(error) from None
        return Reply(answer)

    async def close(self) -> None:
        await self._channel.close()


def _channel(kind: Any, target: Target) -> Any:
    if target.tls is None:
        return kind.insecure_channel(target.address, _OPTIONS)
    credentials = grpc.ssl_channel_credentials(*target.tls.read())
    return kind.secure_channel(target.address, credentials, _OPTIONS)


def _refusal(error: Any) -> RequestError:
    return RequestError(error.code().name, error.details() or "The server gave no reason")
