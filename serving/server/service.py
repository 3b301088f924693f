"""What the server does, whatever the protocol: finds the version, computes, counts."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from stn_tf.serving.models.batched_servable import BatchedServable
from stn_tf.serving.models.store import ModelStore, ServedVersion
from stn_tf.serving.protocol.signature import DEFAULT, Signature
from stn_tf.serving.protocol.status import Status, invalid
from stn_tf.serving.protocol.wire import PredictCall
from stn_tf.serving.server.metrics import Metrics


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
    """

    def __init__(self, store: ModelStore, metrics: Metrics) -> None:
        self.store = store
        self.metrics = metrics

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
            signature = held.servable.signatures.get(name)
            if signature is None:
                raise Status("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
            _check_inputs(signature, call.inputs)
            outputs = _outputs(signature, call.output_filter)
            if deadline is not None and time.monotonic() >= deadline:
                raise Status("DEADLINE_EXCEEDED", "The deadline has passed.")
            start = time.perf_counter()
            if isinstance(held.servable, BatchedServable):
                found = held.servable.submit(name, call.inputs, outputs, deadline).result()
            else:
                found = held.servable.run(name, call.inputs, outputs)
            seconds = time.perf_counter() - start
            self.metrics.computed(call.name, "Predict", type(held.servable).__name__, seconds)
            return Prediction(held.version, name, found)


def _check_inputs(signature: Signature, inputs: Mapping[str, np.ndarray]) -> None:
    wanted, given = set(signature.inputs), set(inputs)
    if wanted != given:
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(wanted)} "
            f"len({{{_list(given)}}}) != len({{{_list(wanted)}}}). "
            f"Sent extra: {{{_list(given - wanted)}}}. "
            f"Missing but required: {{{_list(wanted - given)}}}."
        )
    for name, spec in signature.inputs.items():
        value = inputs[name]
        dtype = "string" if value.dtype == object else value.dtype.name
        if dtype != spec.dtype:
            raise invalid(f"input {name} must be {spec.dtype}, but it is {dtype}.")


def _outputs(signature: Signature, wanted: tuple[str, ...]) -> list[str]:
    if not wanted:
        return list(signature.outputs)
    seen: set[str] = set()
    for name in wanted:
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {{{_list(set(signature.outputs))}}}."
            )
        if name in seen:
            raise invalid(f"duplicate output tensor alias: {name}")
        seen.add(name)
    return list(wanted)


def _list(names: set[str]) -> str:
    return ",".join(sorted(names))
