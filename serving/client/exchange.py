"""A request and its answer, apart from what carries them.

A call is a generator, a flow: it yields requests and pauses, and gets answers. So what is asked,
read, repeated and remembered is written once, for threads and for coroutines.
"""

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

from stn_tf.serving.client.request_error import RequestError

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        body: What it says.
        version: Of the model that gave it, where REST says so.
    """

    body: bytes
    version: int | None = None


@dataclass(frozen=True)
class Exchange(Generic[T]):
    """A request, and how its answer is read.

    Attributes:
        path: Of the URL; for gRPC, `/SERVICE/METHOD`.
        read: Turns the answer into what was asked for.
        body: None for a GET.
        content_type: Of the body; for REST.
        safe: Whether it may be sent again.
    """

    path: str
    read: Callable[[Reply], T]
    body: bytes | None = None
    content_type: str = "application/json"
    safe: bool = True


@dataclass(frozen=True)
class Send:
    """A step: send a request and give its answer, or a `RequestError`, within some seconds."""

    exchange: Exchange
    seconds: float


@dataclass(frozen=True)
class Pause:
    """A step: wait."""

    seconds: float


Flow = Generator[Send | Pause, Reply, T]


def ask(exchange: Exchange[T], deadline: float, retries: int) -> Flow[T]:
    """Sends a request, and again while the server is unavailable.

    Args:
        exchange: What is sent.
        deadline: When the answer is no use any more, in `time.monotonic` seconds.
        retries: How often it is sent again. Pauses double, and vary by half.

    Raises:
        RequestError: If there is no answer, or none that can be read.
    """
    for attempt in range(retries + 1):
        left = deadline - time.monotonic()
        if left <= 0:
            raise RequestError("DEADLINE_EXCEEDED", "The time for the request is over.")
        try:
            answer = yield Send(exchange, left)
            break
        except RequestError as error:
            pause = min(_FIRST_PAUSE_SECONDS * 2**attempt, _LONGEST_PAUSE_SECONDS)
            pause *= random.uniform(0.5, 1)
            again = exchange.safe and error.code == "UNAVAILABLE" and attempt < retries
            if not again or time.monotonic() + pause >= deadline:
                raise
        yield Pause(pause)
    try:
        return exchange.read(answer)
    except Exception as error:  # Anything may be at an address, and answer anything.
        why = f"{type(error).__name__}: {error}"
        raise RequestError("DATA_LOSS", f"The answer cannot be read ({why})") from error
