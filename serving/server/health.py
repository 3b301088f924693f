"""The health of the server and of its models, and the streams of those who watch it."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from stn_tf.serving.models.store import ModelStore
from stn_tf.serving.protocol import messages
from stn_tf.serving.protocol.status import Status, invalid
from stn_tf.serving.server import model_info

# How often the state is looked at while somebody watches.
_INTERVAL_SECONDS = 0.1
# What a watcher that reads nothing may hold up at the end.
_CLOSE_SECONDS = 1.0

# Sends one message of a stream, or ends it with None.
Send = Callable[[bytes | None], None]


@dataclass
class _Watcher:
    service: str
    told: str = ""


class Health:
    """Answers `grpc.health.v1.Health`.

    A service is empty for the server, one of its services, or the name of a model.
    """

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._draining = False
        self._closed = False
        self._watchers: dict[Send, _Watcher] = {}
        self._changed = threading.Condition()  # Guards all of the above.
        self._teller = threading.Thread(target=self._tell, name="health", daemon=True)
        self._teller.start()

    def state(self, service: str = "") -> str | None:
        """Returns SERVING or NOT_SERVING; None for an unknown service."""
        found = model_info.health(self._store, service)
        return "NOT_SERVING" if found is not None and self._draining else found

    def drain(self) -> None:
        """Says NOT_SERVING from now on."""
        with self._changed:
            self._draining = True
            self._changed.notify()

    def close(self) -> None:
        """Ends every stream, once it has been told the last state."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._teller.join(_CLOSE_SECONDS)

    def check(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Answers `Check`."""
        service = _service(data)
        found = self.state(service)
        if found is None:
            raise Status("NOT_FOUND", f"unknown service {service}")
        return _message(found)

    def watch(self, data: bytes, context: grpc.ServicerContext, send: Send) -> None:
        """Answers `Watch`: the state, and every change of it; no thread waits for a stream."""
        try:
            service = _service(data)
        except Status as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        with self._changed:
            closed = self._closed
            if not closed:
                self._watchers[send] = _Watcher(service)
                self._changed.notify()
        if closed:
            send(None)
        elif not context.add_callback(lambda: self._forget(send)):
            self._forget(send)  # The client has gone.

    # So that gRPC passes `send`; its own health service is made in this way.
    watch.experimental_non_blocking = True  # type: ignore[attr-defined]

    def _forget(self, send: Send) -> None:
        with self._changed:
            self._watchers.pop(send, None)

    def _tell(self) -> None:
        closed = False
        while not closed:
            with self._changed:
                if not self._closed:
                    self._changed.wait(_INTERVAL_SECONDS if self._watchers else None)
                closed, watchers = self._closed, dict(self._watchers)
            states = {w.service: self.state(w.service) for w in watchers.values()}
            for send, watcher in watchers.items():
                state = states[watcher.service] or "SERVICE_UNKNOWN"
                with contextlib.suppress(Exception):  # One stream that broke ends no other.
                    if state != watcher.told:
                        watcher.told = state
                        send(_message(state))
                    if closed:
                        send(None)


def _service(data: bytes) -> str:
    try:
        service: str = messages.HealthCheckRequest.FromString(data).service
    except Exception as error:  # Protobuf's kinds differ between its implementations.
        raise invalid(f"The request is no HealthCheckRequest: {error}") from None
    return service


def _message(state: str) -> bytes:
    answer = messages.HealthCheckResponse(status=messages.ServingStatus[state])
    return bytes(answer.SerializeToString())
