"""Batches of requests: what is joined, what is refused, and who gets which answer."""

import logging
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from stn_tf.serving.batching import Batch, Batcher
from stn_tf.serving.batching_parameters import BatchingParameters
from stn_tf.serving.models.batched_servable import BatchedServable
from stn_tf.serving.models.model_config import ModelConfig
from stn_tf.serving.models.servable import Servable, load_servable
from stn_tf.serving.models.store import FoundVersion, ModelStore
from stn_tf.serving.protocol.status import Status

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


@pytest.fixture
def doubler() -> Model:
    return Model()


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


def test_a_lone_request_is_computed_as_it_is(doubler: Model) -> None:
    batcher = Batcher(doubler)
    found = answer(batcher.submit(rows(1, 2), ["sum"]))
    assert found["sum"].tolist() == [3, 6]
    assert (doubler.shapes, doubler.outputs) == ([(2, 3)], [["sum"]])
    batcher.close()


def test_what_waits_is_joined(doubler: Model) -> None:
    blocked = Blocked(doubler)
    futures = [blocked.submit(*values) for values in ((1, 2), (3,), (4, 5, 6))]
    assert blocked.batcher.waiting_rows == 6
    (batch,) = blocked.go()
    assert (batch.requests, batch.rows, batch.padded_rows) == (3, 6, 6)
    assert len(batch.queue_seconds) == 3
    assert min(*batch.queue_seconds, batch.compute_seconds) >= 0
    assert [answer(f)["sum"].tolist() for f in futures] == [[3, 6], [9], [12, 15, 18]]
    assert [answer(f)["double"].shape for f in futures] == [(2, 3), (1, 3), (3, 3)]


def test_each_request_gets_the_outputs_that_it_asked_for(doubler: Model) -> None:
    blocked = Blocked(doubler)
    both = [blocked.batcher.submit(rows(1), [name]) for name in OUTPUTS]
    assert len(blocked.go()) == 1
    assert [list(answer(future)) for future in both] == [["double"], ["sum"]]


def test_batches_end_at_the_limit_and_keep_the_order(doubler: Model) -> None:
    blocked = Blocked(doubler, max_batch_size=4)
    futures = [blocked.submit(*[float(n)] * 3) for n in range(1, 4)]
    futures.append(blocked.submit(4.0))
    assert [batch.rows for batch in blocked.go()] == [3, 3, 4]
    assert [answer(f)["sum"][0] for f in futures] == [3, 6, 9, 12]


def test_only_equal_shapes_are_joined(doubler: Model) -> None:
    blocked = Blocked(doubler)
    futures = [blocked.submit(1.0, width=w) for w in (3, 2, 3, 2, 5)]
    futures.append(blocked.batcher.submit({"x": np.ones((1, 3))}, OUTPUTS))
    blocked.go()
    assert sorted(doubler.shapes[1:]) == [(1, 3), (1, 5), (2, 2), (2, 3)]
    assert [answer(f)["sum"][0] for f in futures] == [3, 2, 3, 2, 5, 3]


def test_other_sizes_are_padded_on_demand(doubler: Model) -> None:
    blocked = Blocked(doubler, pad_variable_length_inputs=True)
    futures = [blocked.submit(1.0, 2.0, width=w) for w in (3, 1, 5)]
    words = [
        blocked.batcher.submit({"x": np.array(row, object)[None]}, ["double"])
        for row in ([b"a"], [b"b", b"c"])
    ]
    assert [batch.requests for batch in blocked.go()] == [3, 2]
    assert [answer(f)["sum"].tolist() for f in futures] == [[3, 6], [1, 2], [5, 10]]
    assert [answer(f)["double"].tolist() for f in words] == [[[b"aa", b""]], [[b"bb", b"cc"]]]


def test_batches_are_filled_up_to_allowed_sizes(doubler: Model) -> None:
    blocked = Blocked(doubler, allowed_batch_sizes=(1, 4, 8))
    futures = [blocked.submit(2.0), blocked.submit(5.0)]
    (batch,) = blocked.go()
    assert (batch.rows, batch.padded_rows) == (2, 4)
    assert doubler.given[-1][:, 0].tolist() == [2, 5, 2, 2]
    assert [answer(f)["sum"].tolist() for f in futures] == [[6], [15]]


def test_large_requests_are_split(doubler: Model) -> None:
    blocked = Blocked(
        doubler, max_batch_size=20, max_execution_batch_size=4, enable_large_batch_splitting=True
    )
    futures = [blocked.submit(*map(float, range(n))) for n in (3, 10, 2)]
    assert [batch.rows for batch in blocked.go()] == [4, 4, 4, 3]
    for future, n in zip(futures, (3, 10, 2), strict=True):
        assert answer(future)["sum"].tolist() == [3.0 * i for i in range(n)]


@pytest.mark.parametrize("splitting", [False, True])
def test_too_large_requests_exception_raised(doubler: Model, splitting: bool) -> None:
    batcher = Batcher(
        doubler, BatchingParameters(max_batch_size=2, enable_large_batch_splitting=splitting)
    )
    with pytest.raises(Status) as raised:
        answer(batcher.submit(rows(1, 2, 3), OUTPUTS))
    assert raised.value.code == "INVALID_ARGUMENT"
    assert raised.value.message == "Task size 3 is larger than maximum input batch size 2"


def test_inputs_without_a_common_batch_exception_raised(doubler: Model) -> None:
    batcher = Batcher(doubler)
    for other, words in (
        (np.float32(1), "must have at least one dimension"),
        (np.ones(3), "must have equal 0th-dimension size"),
    ):
        with pytest.raises(Status, match=words) as raised:
            answer(batcher.submit({**rows(1, 2), "y": other}, OUTPUTS))
        assert raised.value.code == "INVALID_ARGUMENT"


def test_full_queue_exception_raised(doubler: Model) -> None:
    blocked = Blocked(doubler, max_batch_size=2, max_enqueued_batches=2)
    futures = [blocked.submit(1.0, 2.0), blocked.submit(1.0), blocked.submit(2.0)]
    with pytest.raises(Status, match="to which this task was submitted is full") as raised:
        answer(blocked.submit(3.0))
    assert raised.value.code == "UNAVAILABLE"
    assert blocked.batcher.waiting_rows == 4
    blocked.go()
    assert sum(len(answer(future)["sum"]) for future in futures) == 4
    assert blocked.batcher.waiting_rows == 0


def test_late_requests_are_answered_though_there_is_no_room(doubler: Model) -> None:
    blocked = Blocked(doubler, max_batch_size=4, max_enqueued_batches=1)
    late = blocked.submit(7.0, deadline=time.monotonic() - 1)
    in_time = blocked.submit(1.0, 2.0)
    with pytest.raises(Status, match="is full"):
        answer(blocked.submit(3.0, 4.0, 5.0))
    with pytest.raises(Status, match="deadline"):
        answer(late)
    blocked.go()
    assert answer(in_time)["sum"].tolist() == [3, 6]


def test_late_requests_are_not_computed(doubler: Model) -> None:
    blocked = Blocked(doubler, max_batch_size=2, max_enqueued_batches=1)
    late = blocked.submit(7.0, 8.0, deadline=time.monotonic() - 1)
    # The queue is full of what nobody waits for any more, which makes room.
    in_time = blocked.submit(1.0, deadline=time.monotonic() + 3600)
    with pytest.raises(Status, match="deadline") as raised:
        answer(late)
    assert raised.value.code == "DEADLINE_EXCEEDED"
    blocked.go()
    assert answer(in_time)["sum"].tolist() == [3]
    assert 7 not in np.concatenate(doubler.given)


def test_cancelled_requests_are_not_computed(doubler: Model) -> None:
    blocked = Blocked(doubler)
    futures = [blocked.submit(7.0), blocked.submit(1.0)]
    assert futures[0].cancel()
    blocked.go()
    assert answer(futures[1])["sum"].tolist() == [3]
    assert 7 not in np.concatenate(doubler.given)


def test_a_failing_request_fails_alone(doubler: Model) -> None:
    blocked = Blocked(doubler)
    futures = [blocked.submit(value) for value in (1.0, -1.0, 2.0)]
    unknown = blocked.batcher.submit(rows(3), ["none"])
    blocked.go()
    assert [answer(futures[i])["sum"][0] for i in (0, 2)] == [3, 6]
    with pytest.raises(ValueError, match="negative"):
        answer(futures[1])
    with pytest.raises(KeyError):
        answer(unknown)


def test_outputs_without_a_batch_are_computed_one_by_one(doubler: Model) -> None:
    blocked = Blocked(doubler, allowed_batch_sizes=(8,))
    futures = [blocked.batcher.submit(rows(n), ["scalar", "double"]) for n in (1, 2)]
    blocked.go()
    assert [answer(f)["double"][0, 0] for f in futures] == [2, 4]
    assert [answer(f)["scalar"] for f in futures] == [1, 1]
    assert doubler.shapes[-2:] == [(1, 3), (1, 3)]


def test_answers_are_not_overwritten_by_later_batches(doubler: Model) -> None:
    batcher = Batcher(doubler, BatchingParameters(max_batch_size=4, allowed_batch_sizes=(4,)))
    found = [answer(batcher.submit(rows(n), ["same"]))["same"] for n in range(1, 6)]
    assert [value[0, 0] for value in found] == [1, 2, 3, 4, 5]
    batcher.close()


def test_empty_requests(doubler: Model) -> None:
    blocked = Blocked(doubler, allowed_batch_sizes=(1, 8))
    futures = [blocked.submit(), blocked.submit(1.0), blocked.submit()]
    blocked.go()
    assert [answer(f)["sum"].tolist() for f in futures] == [[], [3], []]


def test_a_timeout_waits_for_a_full_batch(doubler: Model) -> None:
    hour = 3_600_000_000
    batcher = Batcher(doubler, BatchingParameters(max_batch_size=3, batch_timeout_micros=hour))
    futures = [batcher.submit(rows(n), OUTPUTS) for n in (1, 2, 3)]
    assert [answer(f)["sum"].tolist() for f in futures] == [[3], [6], [9]]
    assert doubler.shapes == [(3, 3)]
    last = batcher.submit(rows(4), OUTPUTS)
    batcher.close()  # Nobody else can come.
    assert answer(last)["sum"].tolist() == [12]


def test_a_timeout_does_not_hold_what_cannot_grow(doubler: Model) -> None:
    hour = 3_600_000_000
    batcher = Batcher(doubler, BatchingParameters(max_batch_size=3, batch_timeout_micros=hour))
    futures = [batcher.submit(rows(n, n), OUTPUTS) for n in (1, 2)]
    assert answer(futures[0])["sum"].tolist() == [3, 3]
    batcher.close()
    assert answer(futures[1])["sum"].tolist() == [6, 6]


def test_an_answer_may_lead_to_the_next_request(doubler: Model) -> None:
    batcher = Batcher(doubler, BatchingParameters(num_batch_threads=1))
    second: Future[dict[str, np.ndarray]] = Future()

    batcher.submit({"x": np.ones((1, 1), np.float32)}, ["double"]).add_done_callback(
        lambda first: batcher.submit({"x": first.result()["double"]}, ["double"]).add_done_callback(
            lambda found: second.set_result(found.result())
        )
    )
    assert answer(second)["double"].tolist() == [[4]]
    batcher.close()


def test_a_timeout_passes(doubler: Model) -> None:
    batcher = Batcher(doubler, BatchingParameters(batch_timeout_micros=1))
    assert answer(batcher.submit(rows(1), OUTPUTS))["sum"].tolist() == [3]
    hour = 3_600_000_000
    patient = Batcher(doubler, BatchingParameters(batch_timeout_micros=hour))
    with pytest.raises(Status, match="deadline"):
        answer(patient.submit(rows(1), OUTPUTS, time.monotonic() + 0.001))
    for one in (batcher, patient):
        one.close()


def test_batches_are_computed_side_by_side(doubler: Model) -> None:
    doubler.gate.clear()
    batcher = Batcher(doubler, BatchingParameters(num_batch_threads=2))
    futures = [batcher.submit(rows(1, width=w), OUTPUTS) for w in (1, 2, 3)]
    for _ in range(2):
        assert doubler.entered.acquire(timeout=WAIT)
    assert not doubler.entered.acquire(blocking=False)
    doubler.gate.set()
    assert [answer(f)["sum"][0] for f in futures] == [1, 2, 3]
    batcher.close()


def test_closed_batcher_exception_raised(doubler: Model) -> None:
    batcher = Batcher(doubler)
    batcher.close()
    with pytest.raises(Status) as raised:
        answer(batcher.submit(rows(1), OUTPUTS))
    assert raised.value.code == "UNAVAILABLE"


def test_a_failing_observer_costs_no_answer(
    doubler: Model, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(batch: Batch) -> None:
        raise RuntimeError("full disk")

    batcher = Batcher(doubler, observe=fail)
    with caplog.at_level(logging.ERROR):
        assert answer(batcher.submit(rows(1), OUTPUTS))["sum"].tolist() == [3]
    assert "full disk" in caplog.text
    batcher.close()


@pytest.mark.parametrize("splitting", [False, True])
def test_many_threads_get_their_own_answers(doubler: Model, splitting: bool) -> None:
    batcher = Batcher(
        doubler,
        BatchingParameters(
            max_batch_size=8,
            max_execution_batch_size=4 if splitting else None,
            enable_large_batch_splitting=splitting,
            allowed_batch_sizes=(2, 4) if splitting else (2, 8),
            num_batch_threads=3,
            max_enqueued_batches=1000,
        ),
    )

    def ask(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(60):
            values = rng.integers(0, 1000, rng.integers(0, 9)).astype(np.float32)
            width = int(rng.integers(1, 4))
            found = answer(batcher.submit(rows(*values, width=width), OUTPUTS))
            np.testing.assert_array_equal(found["sum"], values * width)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    batcher.close()


@pytest.fixture
def served(model_dir: Path) -> Iterator[BatchedServable]:
    servable = BatchedServable(load_servable(model_dir / "1", threads=1))
    yield servable
    servable.close()


def test_a_batched_servable_answers_as_the_model(
    served: BatchedServable, images: np.ndarray, expected: dict
) -> None:
    batch = images.astype(np.float32) / 255.0

    def ask(image: np.ndarray) -> np.ndarray:
        return served.run("serving_default", {"images": image[None]})["logits"]

    with ThreadPoolExecutor(len(batch)) as pool:
        logits = np.concatenate(list(pool.map(ask, batch)))
    np.testing.assert_allclose(logits, expected["logits"], atol=1e-4)
    theta = served.run("localize", {"images": batch}, ["theta"])
    np.testing.assert_allclose(theta["theta"], expected["theta"], atol=1e-5)
    with pytest.raises(Status, match='"none" not found'):
        served.run("none", {})


def test_no_batched_request_fails_while_versions_swap(
    model_dir: Path, tmp_path: Path, images: np.ndarray, expected: dict
) -> None:
    def load(found: FoundVersion) -> Servable:
        return BatchedServable(load_servable(found.path, threads=1))

    def publish(version: int) -> None:
        shutil.copytree(
            model_dir / "1", tmp_path / ".aside", ignore=shutil.ignore_patterns("variables")
        ).rename(tmp_path / str(version))

    publish(1)
    store = ModelStore(load)
    store.reload([ModelConfig("m", tmp_path)])
    done = threading.Event()
    batch = images.astype(np.float32) / 255.0

    def ask(row: int) -> int:
        count = 0
        while not done.is_set():
            with store.acquire("m") as version:
                feeds = {"images": batch[row : row + 1]}
                found = version.servable.run("serving_default", feeds, ["logits"])
            np.testing.assert_allclose(found["logits"][0], expected["logits"][row], atol=1e-4)
            count += 1
        return count

    with ThreadPoolExecutor(9) as pool:
        try:
            askers = [pool.submit(ask, row) for row in range(9)]
            for version in range(2, 6):
                publish(version)
                store.poll_once()
                assert store.status("m", version)[0].state == "AVAILABLE"
        finally:
            done.set()
        assert all(asker.result() for asker in askers)
    store.close()
