"""What the server counts, under TensorFlow Serving's names, and what it says of queues."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import Metric

# Microseconds, as TensorFlow Serving has them: 10 * 1.8^k.
_BUCKETS = tuple(10.0 * 1.8**k for k in range(20))


class _Requests:
    """Requests by model and status."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}

    def collect(self) -> Iterator[Metric]:
        metric = Metric(":tensorflow:serving:request_count", "Requests by status.", "counter")
        for (model, status), count in sorted(self.counts.items()):
            labels = {"model_name": model, "status": status}
            metric.add_sample(metric.name, labels, count)
        yield metric


class Metrics:
    """The server's metrics; safe to use from many threads."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = _Requests()
        self._registry.register(self._requests)

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
        key = (model, status)
        self._requests.counts[key] = self._requests.counts.get(key, 0) + 1
        self._latency.labels(model, method, entrypoint).observe(seconds * 1e6)

    def computed(self, model: str, method: str, runtime: str, seconds: float) -> None:
        """Notes how long a runtime (`ONNX Runtime`, `TensorFlow`) took for a request."""
        self._runtime.labels(model, method, runtime).observe(seconds * 1e6)

    def text(self) -> bytes:
        """Returns all metrics in Prometheus's text format."""
        # The client library names counters so, whatever they are called.
        return generate_latest(self._registry).replace(b"request_count_total", b"request_count")
