"""Batches of requests: what is joined, and who gets which answer."""

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from stn_tf.serving.batching import Batch, Batcher
from stn_tf.serving.batching_parameters import BatchingParameters
from tests.serving.batching_model import OUTPUTS, Blocked, Model, answer, rows


@pytest.fixture
def doubler() -> Model:
    return Model()


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
