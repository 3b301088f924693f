"""What clients can ask for, as flows, whatever carries them."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, TypeVar

import numpy as np

from stn_tf.errors import InputError
from stn_tf.serving.client.exchange import Exchange, Flow, ask
from stn_tf.serving.client.inputs import features, fit
from stn_tf.serving.client.request_error import RequestError
from stn_tf.serving.client.results import ModelMetadata, Prediction, ServedModel, VersionStatus
from stn_tf.serving.protocol.signature import DEFAULT, Signature

T = TypeVar("T")

_NO_SERVER = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
# What a server says that has no such path or method.
_NOT_THERE = ("UNIMPLEMENTED", "NOT_FOUND", "INVALID_ARGUMENT")
# What a request leads to whose signature is no longer the server's.
_STALE = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "DATA_LOSS")


@dataclass(frozen=True)
class ModelVersion:
    """A model, and which version of it: by number, by label, or the latest.

    Raises:
        InputError: If the name is empty, or there are both a version and a label.
    """

    model: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise InputError("`model` must be a name, but it is empty.")
        if self.version is not None and self.label is not None:
            raise InputError("`version` and `label` must not be given both.")
        if self.version is not None and not 0 <= self.version < 1 << 63:
            raise InputError(f"`version` must be in [0, 2**63), but it is {self.version}.")


@dataclass(frozen=True)
class Wanted:
    """What is computed: a signature of a model, and some of its outputs (none for all)."""

    place: ModelVersion
    name: str
    signature: Signature
    outputs: tuple[str, ...]


class Calls(ABC):
    """The calls of a client; a subclass makes the requests of its protocol.

    Args:
        timeout: Seconds of a call that sets none.
        retries: How often a request is sent again.
    """

    def __init__(self, timeout: float, retries: int) -> None:
        if retries < 0:
            raise InputError(f"`retries` must be at least 0, but it is {retries}.")
        self._timeout = timeout
        self._deadline(None)
        self._retries = retries
        self._signatures: dict[ModelVersion, dict[str, Signature]] = {}

    def predict(
        self,
        inputs: Any,
        place: ModelVersion,
        signature: str | None,
        outputs: Sequence[str] | None,
        timeout: float | None,
    ) -> Flow[Prediction]:
        deadline = self._deadline(timeout)
        if isinstance(outputs, str):
            raise InputError(f"`outputs` must be a list of names, but it is {outputs!r}.")
        name, only = signature or DEFAULT, tuple(outputs or ())
        known = self._signatures.get(place)
        if known is not None:
            try:
                wanted = Wanted(place, name, _signature(known, name), only)
                fitted = fit(inputs, wanted.signature)
                return (yield from self._predict(wanted, fitted, deadline))
            except (RequestError, InputError) as error:
                if isinstance(error, RequestError) and error.code not in _STALE:
                    raise
                # The latest version may be another one now.
                if (yield from self._read_signatures(place, deadline)) == known:
                    raise
        else:
            yield from self._read_signatures(place, deadline)
        wanted = Wanted(place, name, _signature(self._signatures[place], name), only)
        fitted = fit(inputs, wanted.signature)
        return (yield from self._predict(wanted, fitted, deadline))

    def _read_signatures(self, place: ModelVersion, deadline: float) -> Flow[dict[str, Signature]]:
        metadata = yield from self._ask(self._metadata(place), deadline)
        self._signatures[place] = metadata.signatures
        return metadata.signatures

    def classify(
        self,
        examples: Iterable[Mapping[str, Any]],
        place: ModelVersion,
        signature: str | None,
        context: Mapping[str, Any] | None,
        timeout: float | None,
    ) -> Flow[list[list[tuple[str, float]]]]:
        body = _examples(examples, signature, context)
        return (yield from self._ask(self._classify(place, body), self._deadline(timeout)))

    def regress(
        self,
        examples: Iterable[Mapping[str, Any]],
        place: ModelVersion,
        signature: str | None,
        context: Mapping[str, Any] | None,
        timeout: float | None,
    ) -> Flow[np.ndarray]:
        body = _examples(examples, signature, context)
        return (yield from self._ask(self._regress(place, body), self._deadline(timeout)))

    def status(self, place: ModelVersion, timeout: float | None) -> Flow[list[VersionStatus]]:
        return (yield from self._ask(self._status(place), self._deadline(timeout)))

    def metadata(self, place: ModelVersion, timeout: float | None) -> Flow[ModelMetadata]:
        return (yield from self._ask(self._metadata(place), self._deadline(timeout)))

    def models(self, timeout: float | None) -> Flow[list[ServedModel]]:
        return (yield from self._ask(self._models(), self._deadline(timeout)))

    def reload(self, config: str | PathLike[str], timeout: float | None) -> Flow[None]:
        return (yield from self._ask(self._reload(config), self._deadline(timeout)))

    def ready(self, model: str | None, timeout: float | None) -> Flow[bool]:
        deadline = self._deadline(timeout)
        try:
            if model is None:
                return (yield from ask(self._health(), deadline, retries=0))
            states = yield from ask(self._status(ModelVersion(model)), deadline, retries=0)
        except RequestError as error:
            if error.code in _NO_SERVER or (model is not None and error.code == "NOT_FOUND"):
                return False
            if model is None and error.code in _NOT_THERE:
                raise RequestError(
                    "UNIMPLEMENTED", "The server does not say whether it is ready.", "Give `model`."
                ) from None
            raise
        return any(one.state == "AVAILABLE" for one in states)

    def live(self, timeout: float | None) -> Flow[bool]:
        try:
            yield from ask(self._health(live=True), self._deadline(timeout), retries=0)
        except RequestError as error:
            return error.code not in _NO_SERVER
        return True

    def _ask(self, exchange: Exchange[T], deadline: float) -> Flow[T]:
        return ask(exchange, deadline, self._retries)

    def _deadline(self, timeout: float | None) -> float:
        seconds = self._timeout if timeout is None else timeout
        if not 0 < seconds < float("inf"):
            raise InputError(f"`timeout` must be seconds above 0, but it is {seconds}.")
        return time.monotonic() + seconds

    @abstractmethod
    def _predict(
        self, wanted: Wanted, inputs: dict[str, np.ndarray], deadline: float
    ) -> Flow[Prediction]: ...

    @abstractmethod
    def _classify(
        self, place: ModelVersion, body: dict[str, Any]
    ) -> Exchange[list[list[tuple[str, float]]]]: ...

    @abstractmethod
    def _regress(self, place: ModelVersion, body: dict[str, Any]) -> Exchange[np.ndarray]: ...

    @abstractmethod
    def _status(self, place: ModelVersion) -> Exchange[list[VersionStatus]]: ...

    @abstractmethod
    def _metadata(self, place: ModelVersion) -> Exchange[ModelMetadata]: ...

    @abstractmethod
    def _models(self) -> Exchange[list[ServedModel]]: ...

    @abstractmethod
    def _reload(self, config: str | PathLike[str]) -> Exchange[None]: ...

    @abstractmethod
    def _health(self, live: bool = False) -> Exchange[bool]: ...


def _signature(signatures: dict[str, Signature], name: str) -> Signature:
    if name not in signatures:
        raise RequestError(
            "FAILED_PRECONDITION",
            f'Serving signature key "{name}" not found.',
            f"The model has {', '.join(signatures) or 'none'}.",
        )
    return signatures[name]


def _examples(
    examples: Iterable[Mapping[str, Any]],
    signature: str | None,
    context: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The JSON body of REST's `:classify` and `:regress`, which gRPC's message is made from."""
    body: dict[str, Any] = {} if signature is None else {"signature_name": signature}
    if context is not None:
        body["context"] = features(context)
    return {**body, "examples": [features(example) for example in examples]}
