"""A model whose batches can be watched, and a batcher that is busy with it."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np

from stn_tf.serving.batching import Batch, Batcher
from stn_tf.serving.batching_parameters import BatchingParameters

WAIT = 60.0
OUTPUTS = ["double", "sum"]


class Model:
    """Doubles its rows, refuses negative ones, and stops at a gate where it is told to."""

    def __init__(self) -> None:
        self.gate, self.entered = threading.Event(), threading.Semaphore(0)
        self.gate.set()
        self.shapes: list[tuple[int, ...]] = []
        self.outputs: list[list[str]] = []
        self.given: list[np.ndarray] = []

    def __call__(
        self, inputs: dict[str, np.ndarray], outputs: Sequence[str]
    ) -> dict[str, np.ndarray]:
        self.entered.release()
        assert self.gate.wait(WAIT)
        x = inputs["x"]
        self.shapes.append(x.shape)
        self.outputs.append(list(outputs))
        self.given.append(x.copy())
        if x.dtype != object and (x < 0).any():
            raise ValueError("negative")
        found = {"double": x + x, "same": x, "scalar": np.float32(1)}
        if x.ndim > 1:
            found["sum"] = x.sum(axis=tuple(range(1, x.ndim)))
        return {name: found[name] for name in outputs}


def rows(*values: float, width: int = 3) -> dict[str, np.ndarray]:
    return {"x": np.repeat(np.float32(values)[:, None], width, axis=1)}


def answer(future: "Future[dict[str, np.ndarray]]") -> dict[str, np.ndarray]:
    return future.result(WAIT)


class Blocked:
    """A batcher of one thread that is busy, so that requests queue up until `go`."""

    def __init__(self, model: Model, **parameters: object) -> None:
        self.model, self.batches = model, list[Batch]()
        parameters = {"num_batch_threads": 1, "max_batch_size": 8, **parameters}
        self.batcher = Batcher(
            model,
            BatchingParameters(**parameters),  # type: ignore[arg-type]
            observe=self.batches.append,
        )
        model.gate.clear()
        self.first = self.batcher.submit(rows(0), ["double"])
        assert model.entered.acquire(timeout=WAIT)

    def submit(self, *values: float, **options: object) -> "Future[dict[str, np.ndarray]]":
        width = int(options.pop("width", 3))  # type: ignore[call-overload]
        return self.batcher.submit(rows(*values, width=width), OUTPUTS, **options)  # type: ignore[arg-type]

    def go(self) -> list[Batch]:
        """Computes everything; returns the batches after the first request's own."""
        self.model.gate.set()
        self.batcher.close()
        answer(self.first)
        return self.batches[1:]
