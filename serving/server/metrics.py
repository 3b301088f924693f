"""What the server counts of requests, under TensorFlow Serving's names, and of versions."""

import threading
from collections import Counter
from collections.abc import Collection, Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import Metric

from stn_tf.serving.models.store import ServedVersion
from stn_tf.serving.server.version_metrics import VersionMetrics

# Microseconds, as TensorFlow Serving has them: 10 * 1.8^k.
_BUCKETS = tuple(10.0 * 1.8**k for k in range(20))


class _Requests:
    """Requests by model and status."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, model: str, status: str) -> None:
        with self._lock:
            self._counts[model, status] += 1

    def collect(self) -> Iterator[Metric]:
        metric = Metric(":tensorflow:serving:request_count", "Requests by status.", "counter")
        with self._lock:
            counts = sorted(self._counts.items())
        for (model, status), count in counts:
            labels = {"model_name": model, "status": status}
            metric.add_sample(metric.name, labels, count)
        yield metric


class Metrics:
    """The server's metrics; safe to use from many threads.

    Attributes:
        versions: Those of each version.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = _Requests()
        self._registry.register(self._requests)
        self.versions = VersionMetrics(self._registry)

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(name, text, labels, registry=self._registry, buckets=_BUCKETS)

        self._latency = histogram(
            ":tensorflow:serving:request_latency",
            "Microseconds from the request to its answer.",
            *("model_name", "API", "entrypoint"),
        )
        self._runtime = histogram(
            ":tensorflow:serving:runtime_latency",
            "Microseconds that the runtime computed.",
            *("model_name", "API", "runtime"),
        )
        self._logged = CounterMetric(
            "stn_tf_request_log_records",
            "Requests for the request log: `written`, or why they were not.",
            ("model_name", "outcome"),
            registry=self._registry,
        )

    def answered(
        self, model: str, status: str, method: str, entrypoint: str, seconds: float
    ) -> None:
        """Notes a request.

        Args:
            model: The name in the request; empty where there is no such model.
            status: The gRPC code's name.
            method: `Predict`, `Classify`, ...
            entrypoint: `GRPC` or `REST`.
            seconds: From its arrival to its answer.
        """
        self._requests.add(model, status)
        self._latency.labels(model, method, entrypoint).observe(seconds * 1e6)

    def computed(self, held: ServedVersion, signature: str, method: str, seconds: float) -> None:
        """Notes how long a version took for a request, as one of `method`."""
        runtime = held.servable.runtime(signature)
        self._runtime.labels(held.name, method, runtime).observe(seconds * 1e6)
        self.versions.ran(held.name, held.version, signature, seconds)

    def logged(self, model: str, outcome: str) -> None:
        """Notes a request for the request log: `written`, `queue_full` or `failed`."""
        self._logged.labels(model, outcome).inc()

    def counts(self, names: Collection[str]) -> dict[str, int]:
        """Returns counters by full name, `NAME{label=value,...}`.

        Args:
            names: Those asked for, as Prometheus has them or with slashes, as TensorFlow has:
                `/tensorflow/serving/request_count`.
        """
        wanted = {name.replace("/", ":"): name for name in names}
        found = {}
        for metric in self._registry.collect():
            if metric.type != "counter" or metric.name not in wanted:
                continue
            for sample in metric.samples:
                if not sample.name.endswith("_created"):
                    labels = ",".join(f"{key}={value}" for key, value in sample.labels.items())
                    found[f"{wanted[metric.name]}{{{labels}}}"] = int(sample.value)
        return found

    def text(self) -> bytes:
        """Returns all metrics in Prometheus's text format."""
        name = b" :tensorflow:serving:request_count"
        # The client library names counters so, whatever they are called.
        return generate_latest(self._registry).replace(name + b"_total ", name + b" ")
