"""Which requests are answered without a thread."""

import numpy as np
import pytest

from stn_tf.serving.server.quick_requests import QuickRequests
from tests.serving.server.running import running

PREDICT = "/v1/models/small:predict"


def threaded(quick: QuickRequests, seconds: float, cpu_seconds: float, kind: object = "kind"):
    quick.took(kind, seconds, cpu_seconds, threaded=True)


def taught(cpu_seconds: float = 1e-4, wait_seconds: float = 1e-3) -> QuickRequests:
    """One that has seen a request, on a busy machine."""
    quick = QuickRequests()
    threaded(quick, cpu_seconds + wait_seconds, cpu_seconds)
    return quick


def answer(quick: QuickRequests, *seconds: float) -> None:
    for each in seconds:
        assert quick.includes("kind")
        quick.took("kind", each, each, threaded=False)


def test_nothing_is_quick_before_it_is_known():
    assert not QuickRequests().includes("kind")
    assert not taught().includes("other")


@pytest.mark.parametrize(("seconds", "is_quick"), [(9e-4, True), (1.1e-3, False)])
def test_what_computes_for_less_than_a_millisecond_is_tried(seconds, is_quick):
    assert taught(seconds).includes("kind") == is_quick


def test_what_waits_for_other_threads_is_not_tried():
    # Of TensorFlow's own, or of a GPU's.
    assert not taught(1e-4, wait_seconds=5e-3).includes("kind")


def test_what_turns_out_to_be_slow_has_threads_for_a_thousand_requests():
    quick = taught(9e-4)
    answer(quick, *[1.3e-3] * 6)
    for _ in range(1000):
        assert not quick.includes("kind")
        threaded(quick, 1e-4, 1e-4)
    assert not quick.includes("kind")
    threaded(quick, 1e-4, 1e-4)
    assert quick.includes("kind")


def test_a_busy_machine_makes_no_slow_model():
    quick = taught(1e-4)
    answer(quick, *[1e-4, 3e-3, 9e-3, 1e-4, 2e-3, 8e-3] * 20)
    assert quick.includes("kind")


def test_two_surprises_in_a_row_are_no_chance():
    quick = taught(1e-4)
    answer(quick, 1e-4, 9e-3, 9e-3)
    assert not quick.includes("kind")


def test_what_was_threaded_when_it_became_known_says_nothing_more():
    quick = taught(1e-4)
    for _ in range(100):
        threaded(quick, 9e-3, 9e-3)
    assert quick.includes("kind")


def test_it_forgets_the_kinds_that_came_longest_ago():
    quick = taught()
    for number in range(1000):
        threaded(quick, 1e-4, 1e-4, number)
    answer(quick, 1e-4)
    for number in range(1000, 2020):
        threaded(quick, 1e-4, 1e-4, number)
    assert quick.includes("kind")
    assert not quick.includes(900)
    assert quick.includes(2019)


@pytest.mark.parametrize("options", [(), ("--enable_batching",)])
def test_answers_stay_the_same_once_they_are_quick(base_path, options):
    images = np.random.default_rng(3).random((20, 1, 9, 8, 1), np.float32)
    with running(base_path, *options) as server:
        asked = [server.call(PREDICT, {"instances": image.tolist()}) for image in images]
        for _ in range(10):
            again = [server.call(PREDICT, {"instances": image.tolist()}) for image in images]
            assert again == asked
        # Refusals are as they were, and cost nothing of what comes after.
        for body in ({"instances": [[1]]}, {"inputs": 1}, {}):
            assert server.call(PREDICT, body)[0] == 400
        status, answer = server.call("/monitoring/prometheus/metrics")
    assert status == 200
    count = ':tensorflow:serving:request_count{model_name="small",status="OK"}'
    assert f"{count} 220.0" in answer
