"""The queue before batches: what is refused, how long requests wait, and who is late."""

import time
from concurrent.futures import Future

import numpy as np
import pytest

from stn_tf.serving.batching import Batcher
from stn_tf.serving.batching_parameters import BatchingParameters
from stn_tf.serving.protocol.status import Status
from tests.serving.batching_model import OUTPUTS, WAIT, Blocked, Model, answer, rows


@pytest.fixture
def doubler() -> Model:
    return Model()


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


def test_a_timeout_passes(doubler: Model) -> None:
    batcher = Batcher(doubler, BatchingParameters(batch_timeout_micros=1))
    assert answer(batcher.submit(rows(1), OUTPUTS))["sum"].tolist() == [3]
    hour = 3_600_000_000
    patient = Batcher(doubler, BatchingParameters(batch_timeout_micros=hour))
    with pytest.raises(Status, match="deadline"):
        answer(patient.submit(rows(1), OUTPUTS, time.monotonic() + 0.001))
    for one in (batcher, patient):
        one.close()


def test_closed_batcher_exception_raised(doubler: Model) -> None:
    batcher = Batcher(doubler)
    batcher.close()
    with pytest.raises(Status) as raised:
        answer(batcher.submit(rows(1), OUTPUTS))
    assert raised.value.code == "UNAVAILABLE"


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
