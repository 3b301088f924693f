"""What the server counts of each version of a model, for as long as it is loaded."""

import re
import threading
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

from stn_tf.serving.batching import Batch
from stn_tf.serving.models.model_versions import VersionStatus
from stn_tf.serving.models.store import ModelStore

_SECONDS = tuple(1e-5 * 1.8**k for k in range(28))
_ROWS = tuple(2.0**k for k in range(12))
_SIGNATURE = ("model_name", "version", "signature")
# A label is no place for long text; the whole of it is in the version's status.
_REASON_LENGTH = 100
_FOLDERS = re.compile(r"(?<=[`'])/[^`']*/(?=[^`'/]+[`'])")

# The rows that wait, by signature.
Queues = Callable[[], Mapping[str, int]]


class VersionMetrics:
    """Loads, states, queues and batches; safe to use from many threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def histogram(name: str, text: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
            return Histogram(name, text, _SIGNATURE, registry=registry, buckets=buckets)

        self._run = histogram(
            "stn_tf_run_seconds", "From a request's inputs to its outputs, with the wait in queues."
        )
        self._queue = histogram("stn_tf_queue_seconds", "How long a request waited for its batch.")
        self._compute = histogram("stn_tf_batch_compute_seconds", "How long a batch was computed.")
        self._rows = histogram("stn_tf_batch_rows", "Rows of requests in a batch.", _ROWS)
        self._padding = Counter(
            "stn_tf_batch_padding_rows",
            "Rows that filled batches up; their share is over these and stn_tf_batch_rows_sum.",
            _SIGNATURE,
            registry=registry,
        )
        self._loads = Counter(
            "stn_tf_model_loads",
            "Versions that were loaded.",
            ("model_name",),
            registry=registry,
        )
        self._failures = Counter(
            "stn_tf_model_load_failures",
            "Versions that could not be loaded.",
            ("model_name", "reason"),
            registry=registry,
        )
        self._by_signature = (self._run, self._queue, self._compute, self._rows, self._padding)
        self._store: ModelStore | None = None
        self._loading: dict[tuple[str, int], float] = {}
        self._load_seconds: dict[tuple[str, int], float] = {}
        self._queues: dict[tuple[str, int], Queues] = {}
        self._alive: Counts[tuple[str, int]] = Counts()
        self._lock = threading.Lock()  # Guards all of the above.
        registry.register(self)

    def watch(self, store: ModelStore) -> None:
        """Shows the states of a store's versions from now on."""
        self._store = store

    def watch_queues(self, model: str, version: int, waiting: Queues) -> None:
        """Shows the queues of a version until it ends."""
        with self._lock:
            self._queues[model, version] = waiting

    def moved(self, model: str, status: VersionStatus) -> None:
        """Notes a version's change of state."""
        key = model, status.version
        with self._lock:
            if status.state == "START":
                self._alive[key] += 1
            elif status.state == "LOADING":
                self._loading[key] = time.monotonic()
            elif status.state == "AVAILABLE":
                self._load_seconds[key] = time.monotonic() - self._loading.pop(key)
                self._loads.labels(model).inc()
            elif status.state == "END":
                self._end(key)
        if status.error is not None:
            reason = _FOLDERS.sub("", status.error.message)[:_REASON_LENGTH]
            self._failures.labels(model, reason).inc()

    def _end(self, key: tuple[str, int]) -> None:
        self._loading.pop(key, None)
        self._alive[key] -= 1
        # A model that moved has the same version twice for a moment.
        if self._alive[key] <= 0:
            del self._alive[key]
            self._load_seconds.pop(key, None)
            self._queues.pop(key, None)
            labels = {"model_name": key[0], "version": str(key[1])}
            for metric in self._by_signature:
                metric.remove_by_labels(labels)

    def batched(self, model: str, version: int, signature: str, batch: Batch) -> None:
        """Notes a batch, unless it only warmed a version up."""
        if (model, version) in self._loading:
            return
        labels = model, str(version), signature
        for seconds in batch.queue_seconds:
            self._queue.labels(*labels).observe(seconds)
        self._compute.labels(*labels).observe(batch.compute_seconds)
        self._rows.labels(*labels).observe(batch.rows)
        self._padding.labels(*labels).inc(batch.padded_rows - batch.rows)

    def ran(self, model: str, version: int, signature: str, seconds: float) -> None:
        """Notes how long a request was computed, with its wait in a queue."""
        self._run.labels(model, str(version), signature).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """What is not counted but looked at."""
        with self._lock:
            queues, loads = dict(self._queues), dict(self._load_seconds)
        waiting = GaugeMetricFamily(
            "stn_tf_queue_rows", "Rows that wait for a batch.", labels=_SIGNATURE
        )
        for (model, version), look in queues.items():
            for signature, rows in look().items():
                waiting.add_metric([model, str(version), signature], rows)
        yield waiting
        seconds = GaugeMetricFamily(
            "stn_tf_model_load_seconds",
            "How long a version took to load and to warm up.",
            labels=("model_name", "version"),
        )
        for (model, version), taken in loads.items():
            seconds.add_metric([model, str(version)], taken)
        yield seconds
        yield self._states()

    def _states(self) -> Metric:
        found = GaugeMetricFamily(
            "stn_tf_model_version_state",
            "1 for the state of a version: START, LOADING, AVAILABLE, UNLOADING, or END for one "
            "that could not be loaded.",
            labels=("model_name", "version", "state"),
        )
        for model, status in self._store.statuses() if self._store is not None else ():
            if status.state != "END" or status.error is not None:
                found.add_metric([model, str(status.version), status.state], 1)
        return found
