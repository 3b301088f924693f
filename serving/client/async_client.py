"""A client for coroutines."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from stn_tf.errors import ConfigError
from stn_tf.serving.client.calls import ModelVersion
from stn_tf.serving.client.client import IMAGES_SIGNATURE, make_calls
from stn_tf.serving.client.exchange import Exchange, Flow, Pause, Reply
from stn_tf.serving.client.inputs import image_bytes
from stn_tf.serving.client.request_error import RequestError
from stn_tf.serving.client.results import ModelMetadata, Prediction, ServedModel, VersionStatus
from stn_tf.serving.client.target import Target, parse_target

T = TypeVar("T")


class AsyncClient:
    """A client of one model server, for one event loop.

    Arguments, methods and errors are those of `Client`; methods are coroutines, and many may wait
    at once.
    """

    def __init__(
        self,
        target: str,
        *,
        api_key: str | None = None,
        ca: str | PathLike[str] | None = None,
        certificate: str | PathLike[str] | None = None,
        key: str | PathLike[str] | None = None,
        timeout: float = 30.0,
        retries: int = 4,
    ) -> None:
        self._target = parse_target(target, api_key, ca, certificate, key)
        self._calls = make_calls(self._target, timeout, retries)
        # Made by the first call: connections belong to the event loop that runs then.
        self._transport: _Transport | None = None
        self._closed = False

    async def predict(
        self,
        inputs: Any,
        *,
        model: str,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> Prediction:
        """Computes a signature of a model, as `Client.predict`."""
        place = ModelVersion(model, version, label)
        return await self._run(self._calls.predict(inputs, place, signature, outputs, timeout))

    async def predict_images(
        self,
        images: Iterable[bytes | str | PathLike[str]],
        *,
        model: str,
        version: int | None = None,
        label: str | None = None,
        signature: str = IMAGES_SIGNATURE,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> Prediction:
        """Computes a signature that takes encoded images, as `Client.predict_images`."""
        place = ModelVersion(model, version, label)
        encoded = await asyncio.to_thread(image_bytes, images)
        return await self._run(self._calls.predict(encoded, place, signature, outputs, timeout))

    async def classify(
        self,
        examples: Iterable[Mapping[str, Any]],
        *,
        model: str,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        context: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> list[list[tuple[str, float]]]:
        """Returns label and score of each class, for each example, as `Client.classify`."""
        place = ModelVersion(model, version, label)
        return await self._run(self._calls.classify(examples, place, signature, context, timeout))

    async def regress(
        self,
        examples: Iterable[Mapping[str, Any]],
        *,
        model: str,
        version: int | None = None,
        label: str | None = None,
        signature: str | None = None,
        context: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> np.ndarray:
        """Returns a float32 for each example, as `Client.regress`."""
        place = ModelVersion(model, version, label)
        return await self._run(self._calls.regress(examples, place, signature, context, timeout))

    async def status(
        self, model: str, *, version: int | None = None, timeout: float | None = None
    ) -> list[VersionStatus]:
        """Returns the states of a model's versions, or of one."""
        return await self._run(self._calls.status(ModelVersion(model, version), timeout))

    async def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> ModelMetadata:
        """Returns the signatures of a version."""
        return await self._run(self._calls.metadata(ModelVersion(model, version, label), timeout))

    async def models(self, *, timeout: float | None = None) -> list[ServedModel]:
        """Returns every model that is served, as `Client.models`."""
        return await self._run(self._calls.models(timeout))

    async def reload(self, config: str | PathLike[str], *, timeout: float | None = None) -> None:
        """Gives the server another list of models, as `Client.reload`."""
        await self._run(self._calls.reload(config, timeout))

    async def ready(self, model: str | None = None, *, timeout: float | None = None) -> bool:
        """Says whether a model, or the server, is ready, as `Client.ready`."""
        return await self._run(self._calls.ready(model, timeout))

    async def live(self, *, timeout: float | None = None) -> bool:
        """Says whether there is a server that answers."""
        return await self._run(self._calls.live(timeout))

    async def close(self) -> None:
        """Closes all connections."""
        self._closed = True
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, flow: Flow[T]) -> T:
        if self._closed:
            raise ConfigError("The client is closed. Make a new one.")
        if self._transport is None:
            self._transport = _transport(self._target)
        transport = self._transport
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = next(flow)
                    continue
                try:
                    answer = await transport.send(step.exchange, step.seconds)
                except RequestError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result


class _Transport(Protocol):
    async def send(self, exchange: Exchange, seconds: float) -> Reply: ...

    async def close(self) -> None: ...


def _transport(target: Target) -> _Transport:
    if target.rest:
        from stn_tf.serving.client.aiohttp_transport import AiohttpTransport

        return AiohttpTransport(target)
    from stn_tf.serving.client.grpc_transport import AsyncGrpcTransport

    return AsyncGrpcTransport(target)
