"""Requests that wait at the same time are computed at the same time.

Workers take what is waiting as soon as they are free: batches grow by themselves under load, and a
lone request waits for nobody unless `batch_timeout_micros` says so.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

import numpy as np

from stn_tf.serving.batch_buffers import BatchBuffers
from stn_tf.serving.batching_parameters import BatchingParameters
from stn_tf.serving.protocol.status import Status, invalid

Arrays = Mapping[str, np.ndarray]
Run = Callable[[dict[str, np.ndarray], Sequence[str]], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Batch:
    """What was computed at once, for counters.

    Attributes:
        requests: How many requests, or parts of large ones.
        rows: How many rows they have together.
        padded_rows: How many were computed.
        queue_seconds: How long each request has waited.
        compute_seconds: How long the model took.
    """

    requests: int
    rows: int
    padded_rows: int
    queue_seconds: tuple[float, ...]
    compute_seconds: float


@dataclass(eq=False)
class _Request:
    inputs: dict[str, np.ndarray]
    outputs: tuple[str, ...]
    deadline: float | None
    key: tuple[object, ...]
    rows: int
    arrived: float
    future: "Future[dict[str, np.ndarray]]" = field(default_factory=Future)
    taken: int = 0
    finished: int = 0
    parts: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Part:
    """The rows of a request that are in one batch."""

    request: _Request
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.start

    def inputs(self) -> dict[str, np.ndarray]:
        return {n: value[self.start : self.stop] for n, value in self.request.inputs.items()}


class Batcher:
    """Batches the requests to one signature of one version of a model."""

    def __init__(
        self,
        run: Run,
        parameters: BatchingParameters | None = None,
        *,
        observe: Callable[[Batch], None] | None = None,
    ) -> None:
        """Makes a batcher; its threads start with its first requests.

        Args:
            run: Computes outputs, by name, of inputs whose first dimension is the batch.
            parameters: How large batches are, and how long they wait.
            observe: Is told of every batch, from the thread that computed it.
        """
        self.parameters = parameters or BatchingParameters()
        self._run = run
        self._observe = observe
        self._waiting: list[_Request] = []
        self._rows = 0
        self._changed = threading.Condition()
        self._closed = False
        self._idle = 0
        self._threads: list[threading.Thread] = []
        # Until it turns out that the outputs have no row for each row of the inputs.
        self._joins = True

    @property
    def waiting_rows(self) -> int:
        """How many rows are in the queue."""
        return self._rows

    def submit(
        self, inputs: Arrays, outputs: Sequence[str], deadline: float | None = None
    ) -> "Future[dict[str, np.ndarray]]":
        """Puts a request into the queue.

        Args:
            inputs: Arrays by name, whose first dimension is the batch.
            outputs: What to compute.
            deadline: In seconds of `time.monotonic`: later, the request is not computed any more.

        Returns:
            The outputs to come, which may be views of what others got, too; or a Status:
            INVALID_ARGUMENT, UNAVAILABLE if the queue is full, DEADLINE_EXCEEDED, or what the
            computation raised.
        """
        request = self._request(inputs, outputs, deadline)
        late: list[_Request] = []
        try:
            self._check(request)
            with self._changed:
                self._enqueue(request, late)
        except Status as error:
            request.future.set_exception(error)
        _answer_late(late)
        return request.future

    def _request(self, inputs: Arrays, outputs: Sequence[str], deadline: float | None) -> _Request:
        pad = self.parameters.pad_variable_length_inputs
        arrays = {name: np.asarray(value) for name, value in sorted(inputs.items())}
        key = tuple(
            (name, value.dtype, value.ndim if pad else value.shape[1:])
            for name, value in arrays.items()
        )
        rows = next((len(value) for value in arrays.values() if value.ndim), 0)
        return _Request(arrays, tuple(outputs), deadline, key, rows, time.monotonic())

    def _check(self, request: _Request) -> None:
        # The words are TensorFlow Serving's.
        shapes = [value.shape for value in request.inputs.values()]
        if not all(shapes):
            raise invalid("Batching session Run() input tensors must have at least one dimension")
        if any(shape[0] != request.rows for shape in shapes):
            raise invalid("Batching session Run() input tensors must have equal 0th-dimension size")
        if request.rows > self.parameters.max_batch_size:
            raise invalid(
                f"Task size {request.rows} is larger than maximum input batch size "
                f"{self.parameters.max_batch_size}"
            )

    def _enqueue(self, request: _Request, late: list[_Request]) -> None:
        """Puts a request into the queue, and into `late` those that it took out to make room."""
        if self._closed:
            raise Status("UNAVAILABLE", "The model is being unloaded")
        capacity = self.parameters.max_enqueued_batches * self.parameters.batch_size
        if self._rows + max(request.rows, 1) > capacity:
            late += self._remove_late(time.monotonic())
        if self._waiting and self._rows + max(request.rows, 1) > capacity:
            raise Status(
                "UNAVAILABLE",
                "The batch scheduling queue to which this task was submitted is full; "
                f"{self._rows} rows are waiting, of at most {capacity}",
            )
        self._waiting.append(request)
        self._rows += request.rows
        self._call_worker()

    def _call_worker(self) -> None:
        if not self._idle and len(self._threads) < self.parameters.threads:
            name = f"batch-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._changed.notify()

    def close(self) -> None:
        """Computes what is in the queue, and takes nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _work(self) -> None:
        buffers = BatchBuffers()
        while parts := self._next():
            self._compute(parts, buffers)

    def _next(self) -> list[_Part]:
        """Waits for a batch; nothing means that the batcher is closed and empty."""
        while True:
            with self._changed:
                now = time.monotonic()
                late = self._remove_late(now)
                if not late:
                    if not self._waiting and self._closed:
                        return []
                    wait = None
                    if self._waiting:
                        group, full = self._group()
                        timeout = self.parameters.batch_timeout_micros / 1e6
                        ready = group[0].request.arrived + timeout
                        if full or self._closed or now >= ready:
                            return self._take(group)
                        times = [r.deadline for r in self._waiting if r.deadline is not None]
                        wait = max(min([ready, *times]) - now, 0.0)
                    self._idle += 1
                    self._changed.wait(wait)
                    self._idle -= 1
            # Without the lock, because a future calls whoever wants to know.
            _answer_late(late)

    def _group(self) -> tuple[list[_Part], bool]:
        """What fits into a batch with the request that has waited longest, in order.

        Returns:
            The parts, and whether nothing that comes later can be among them.
        """
        first = self._waiting[0]
        split = self.parameters.enable_large_batch_splitting and self._joins
        parts: list[_Part] = []
        free = self.parameters.batch_size
        for request in self._waiting:
            if request.key != first.key:
                continue
            left = request.rows - request.taken
            if left > free and not (split and free):
                if parts:
                    return parts, True
                free = left  # Its outputs cannot be joined: it is computed as a whole.
            rows = min(left, free)
            parts.append(_Part(request, request.taken, request.taken + rows))
            free -= rows
            # An empty request is computed alone, which is what its answer depends on.
            if not self._joins or not first.rows:
                return parts, True
        return parts, free <= 0

    def _take(self, parts: list[_Part]) -> list[_Part]:
        for part in parts:
            part.request.taken = part.stop
            self._rows -= part.rows
        done = {id(p.request) for p in parts if p.request.taken == p.request.rows}
        self._waiting = [request for request in self._waiting if id(request) not in done]
        if self._waiting:
            self._call_worker()
        return parts

    def _remove_late(self, now: float) -> list[_Request]:
        """Takes those from the queue whose deadline has passed, or that nobody waits for."""
        late = [r for r in self._waiting if r.future.done() or _is_late(r, now)]
        if late:
            self._waiting = [r for r in self._waiting if r not in late]
            self._rows -= sum(request.rows - request.taken for request in late)
        return late

    def _compute(self, parts: list[_Part], buffers: BatchBuffers) -> None:
        start = time.monotonic()
        rows = sum(part.rows for part in parts)
        padded = self.parameters.padded(rows) if self._joins and rows else rows
        outputs = list(dict.fromkeys(name for part in parts for name in part.request.outputs))
        try:
            inputs = buffers.join([part.inputs() for part in parts], padded)
            computed = self._run(inputs, outputs)
            found = {name: computed[name] for name in outputs}
        except Exception as error:  # Whatever a model raises is its requests' answer.
            if len(parts) > 1:
                self._compute_alone(parts, buffers)
            else:
                _fail(parts[0].request, error)
            return
        if padded != rows or len(parts) > 1 or parts[0].rows != parts[0].request.rows:
            if any(value.ndim == 0 or len(value) != padded for value in found.values()):
                self._joins = False
                self._compute_alone(parts, buffers)
                return
            found = {
                # A model may hand its input through, which here will soon hold another batch.
                name: value.copy() if _shares(value, inputs) else value
                for name, value in found.items()
            }
        waited = tuple(start - part.request.arrived for part in parts)
        self._tell(Batch(len(parts), rows, padded, waited, time.monotonic() - start))
        place = 0
        for part in parts:
            cut = slice(place, place + part.rows)
            whole = part.rows == padded
            self._finish(
                part, {n: found[n] if whole else found[n][cut] for n in part.request.outputs}
            )
            place += part.rows

    def _tell(self, batch: Batch) -> None:
        if self._observe is not None:
            try:
                self._observe(batch)
            except Exception:  # Counting must not cost the answers.
                logging.getLogger(__name__).exception("The observer of batches failed.")

    def _compute_alone(self, parts: list[_Part], buffers: BatchBuffers) -> None:
        """Computes each request by itself, so that only those fail that must."""
        for part in parts:
            if part.rows != part.request.rows and not self._joins:
                error = Status(
                    "FAILED_PRECONDITION",
                    "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                    "dimension sizes of the input tensors",
                )
                _fail(part.request, error)
            else:
                self._compute([part], buffers)

    def _finish(self, part: _Part, outputs: dict[str, np.ndarray]) -> None:
        request = part.request
        with self._changed:
            request.parts[part.start] = outputs
            request.finished += part.rows
            if request.finished < request.rows:
                return
        parts = [request.parts[start] for start in sorted(request.parts)]
        if len(parts) > 1:
            outputs = {name: np.concatenate([p[name] for p in parts]) for name in request.outputs}
        with contextlib.suppress(InvalidStateError):  # It was cancelled, or another part failed.
            request.future.set_result(outputs)


def _fail(request: _Request, error: Exception) -> None:
    with contextlib.suppress(InvalidStateError):  # It was cancelled, or another part failed.
        request.future.set_exception(error)


def _is_late(request: _Request, now: float) -> bool:
    return request.deadline is not None and request.deadline <= now


def _answer_late(requests: Sequence[_Request]) -> None:
    for request in requests:
        _fail(request, Status("DEADLINE_EXCEEDED", "The deadline passed in the queue"))


def _shares(value: np.ndarray, inputs: Arrays) -> bool:
    return any(np.may_share_memory(value, given) for given in inputs.values())
