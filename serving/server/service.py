"""What the server does, whatever the protocol: finds the version, computes, counts."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stn_tf.serving.models.store import ModelStore, ServedVersion
from stn_tf.serving.protocol.signature import DEFAULT
from stn_tf.serving.protocol.status import Status, invalid
from stn_tf.serving.protocol.wire import PredictCall
from stn_tf.serving.server.metrics import Metrics
from stn_tf.serving.server.request_log import RequestLog


@dataclass(frozen=True)
class Prediction:
    """The answer to a predict call, with the version and signature that gave it."""

    version: int
    signature: str
    outputs: dict[str, np.ndarray]


class ModelService:
    """Answers calls for the models of a store; its methods may be called from many threads.

    Args:
        store: The models.
        metrics: Where requests are counted.
        strict_shapes: Whether inputs must have the shapes of their signature.
        log: Where requests are logged; None for nowhere, unless a model's configuration says so.
    """

    def __init__(
        self,
        store: ModelStore,
        metrics: Metrics,
        *,
        strict_shapes: bool = False,
        log: RequestLog | None = None,
    ) -> None:
        self.store = store
        self.metrics = metrics
        self.log = log or RequestLog(metrics)
        self._strict_shapes = strict_shapes

    @contextlib.contextmanager
    def counted(self, model: str, method: str, entrypoint: str) -> Iterator[None]:
        """Counts what happens inside as one request."""
        start, status = time.perf_counter(), "OK"
        try:
            yield
        except Status as error:
            status = error.code
            raise
        except Exception:
            status = "INTERNAL"
            raise
        finally:
            known = model if model in self.store.names() else ""
            seconds = time.perf_counter() - start
            self.metrics.answered(known, status, method, entrypoint, seconds)

    @contextlib.contextmanager
    def held(self, name: str, version: int | None, label: str | None) -> Iterator[ServedVersion]:
        """Keeps the version that a call asks for loaded."""
        if not name:
            raise invalid("ModelSpec has no name specified.")
        with self.store.acquire(name, version=version, label=label) as found:
            yield found

    def predict(self, call: PredictCall, deadline: float | None = None) -> Prediction:
        """Computes a signature.

        Args:
            call: What was asked for.
            deadline: When nobody waits for the answer any more, in `time.monotonic` seconds.

        Raises:
            Status: If the request is wrong, cannot be computed, or its deadline has passed.
        """
        with self.held(call.name, call.version, call.label) as held:
            name = call.signature or DEFAULT
            found = self.compute(held, "Predict", name, call.inputs, call.output_filter, deadline)
            return Prediction(held.version, name, found)

    def compute(
        self,
        held: ServedVersion,
        method: str,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        deadline: float | None,
    ) -> dict[str, np.ndarray]:
        """Computes outputs of a signature of a held version, and counts how long it took.

        Args:
            held: The version.
            method: What the time is counted under: `Predict`, `Classify`, ...
            signature: Its name.
            inputs: Arrays by name.
            outputs: What to compute; nothing for all.
            deadline: As in `predict`.

        Raises:
            Status: As `predict`.
        """
        start = time.perf_counter()
        found = held.servable.run(
            signature, inputs, outputs, deadline=deadline, strict_shapes=self._strict_shapes
        )
        seconds = time.perf_counter() - start
        self.metrics.computed(held, signature, method, seconds)
        if method == "Predict" and self.log.samples(held):
            self.log.predict(held, signature, inputs, outputs, found)
        return found

    def compute_together(
        self,
        held: ServedVersion,
        method: str,
        signatures: Sequence[str],
        inputs: Mapping[str, np.ndarray],
        deadline: float | None,
    ) -> dict[str, np.ndarray]:
        """Computes all outputs of signatures that take the same inputs.

        It is counted as one computation of the first; arguments and errors are those of `compute`.
        """
        start = time.perf_counter()
        found = held.servable.run_together(
            signatures, inputs, deadline=deadline, strict_shapes=self._strict_shapes
        )
        self.metrics.computed(held, signatures[0], method, time.perf_counter() - start)
        for name in signatures if self.log.samples(held) else ():
            parts = {output: found[output] for output in held.servable.signature(name).outputs}
            self.log.predict(held, name, inputs, (), parts)
        return found
