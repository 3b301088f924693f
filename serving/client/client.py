"""A client for threads."""

import time
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from stn_tf.errors import ConfigError
from stn_tf.serving.client.calls import Calls, ModelVersion
from stn_tf.serving.client.exchange import Exchange, Flow, Pause, Reply
from stn_tf.serving.client.inputs import image_bytes
from stn_tf.serving.client.request_error import RequestError
from stn_tf.serving.client.results import ModelMetadata, Prediction, ServedModel, VersionStatus
from stn_tf.serving.client.target import Target, parse_target

T = TypeVar("T")

IMAGES_SIGNATURE = "serving_bytes"


class Client:
    """A client of one model server; its methods may be called from many threads at once.

    Requests are sent again, with growing pauses, while the server is unavailable and there is time;
    never after a deadline, and never to reload. Connections are kept.

    Args:
        target: `grpc://HOST:8500`, `grpcs://` or `unix:/PATH` for gRPC; `http://HOST:8501` or
            `https://` for REST.
        api_key: Sent as `authorization: Bearer KEY`.
        ca: PEM file of who signs the server's certificate; None for those the system trusts.
        certificate: PEM file of the client's own certificate, where the server asks for one.
        key: PEM file of its private key.
        timeout: Seconds that a call may take, with all its retries, unless it sets its own.
        retries: How often a request is sent again.

    Raises:
        ConfigError: If `target` or a file cannot be used.

    Methods raise `RequestError` for what the server refuses or does not answer, and `InputError`
    for arguments that fit no request. Models are asked for by name; by default the latest version
    answers, else that of `version` or `label`.
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
        found = parse_target(target, api_key, ca, certificate, key)
        self._calls = make_calls(found, timeout, retries)
        self._transport: _Transport | None = _transport(found)

    def predict(
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
        """Computes a signature of a model.

        The names and types of inputs and outputs are read from the server once, and again when
        a request does not fit them.

        Args:
            inputs: Name -> array, list or number; or that alone for a signature with one input.
                Floats may have another width than the input, and integers that fit it, too.
            signature: Such as `"localize"` or `"rectify"`; by default `"serving_default"`.
            outputs: Names of outputs; None for all.
        """
        place = ModelVersion(model, version, label)
        return self._run(self._calls.predict(inputs, place, signature, outputs, timeout))

    def predict_images(
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
        """Computes a signature that takes encoded images, such as PNG or JPEG.

        Args:
            images: Encoded images, or paths of their files.
            signature: Whose one input is a string for each image.
            outputs: Names of outputs; None for all.

        Raises:
            DataError: If a file cannot be read.
        """
        place = ModelVersion(model, version, label)
        encoded = image_bytes(images)
        return self._run(self._calls.predict(encoded, place, signature, outputs, timeout))

    def classify(
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
        """Returns label and score of each class, for each example.

        Args:
            examples: Feature -> number, string, bytes, or a list or array of them. Whole numbers
                are int64 features, others float.
            context: Features that all examples share.
        """
        place = ModelVersion(model, version, label)
        return self._run(self._calls.classify(examples, place, signature, context, timeout))

    def regress(
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
        """Returns a float32 for each example; `examples` and `context` are as in `classify`."""
        place = ModelVersion(model, version, label)
        return self._run(self._calls.regress(examples, place, signature, context, timeout))

    def status(
        self, model: str, *, version: int | None = None, timeout: float | None = None
    ) -> list[VersionStatus]:
        """Returns the states of a model's versions, or of one."""
        return self._run(self._calls.status(ModelVersion(model, version), timeout))

    def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float | None = None,
    ) -> ModelMetadata:
        """Returns the signatures of a version: its inputs and outputs."""
        return self._run(self._calls.metadata(ModelVersion(model, version, label), timeout))

    def models(self, *, timeout: float | None = None) -> list[ServedModel]:
        """Returns every model that is served. Only REST has this, and only of `stn-tf serve`."""
        return self._run(self._calls.models(timeout))

    def reload(self, config: str | PathLike[str], *, timeout: float | None = None) -> None:
        """Gives the server another list of models, and waits until they are loaded.

        Only gRPC has this.

        Args:
            config: Path of a `ModelServerConfig` as text; the base paths in it are the server's.

        Raises:
            ConfigError: If the file cannot be read.
        """
        self._run(self._calls.reload(config, timeout))

    def ready(self, model: str | None = None, *, timeout: float | None = None) -> bool:
        """Says whether a model has an available version; None for all models of the server."""
        return self._run(self._calls.ready(model, timeout))

    def live(self, *, timeout: float | None = None) -> bool:
        """Says whether there is a server that answers."""
        return self._run(self._calls.live(timeout))

    def close(self) -> None:
        """Closes all connections."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self, flow: Flow[T]) -> T:
        transport = self._transport
        if transport is None:
            raise ConfigError("The client is closed. Make a new one.")
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = next(flow)
                    continue
                try:
                    answer = transport.send(step.exchange, step.seconds)
                except RequestError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as done:
            result: T = done.value
            return result


class _Transport(Protocol):
    def send(self, exchange: Exchange, seconds: float) -> Reply: ...

    def close(self) -> None: ...


def make_calls(target: Target, timeout: float, retries: int) -> Calls:
    """Returns the calls of a target's protocol."""
    if target.rest:
        from stn_tf.serving.client.rest_calls import RestCalls

        return RestCalls(timeout, retries)
    from stn_tf.serving.client.grpc_calls import GrpcCalls

    return GrpcCalls(timeout, retries)


def _transport(target: Target) -> _Transport:
    if target.rest:
        from stn_tf.serving.client.http_transport import HttpTransport

        return HttpTransport(target)
    from stn_tf.serving.client.grpc_transport import GrpcTransport

    return GrpcTransport(target)
