"""Which requests are answered without a thread."""

import numpy as np
import pytest

from stn_tf.serving.server.quick_requests import QuickRequests
from tests.serving.server.running import running

PREDICT = "/v1/models/small:predict"


def taught(*seconds: float, expected: bool = False) -> QuickRequests:
    quick = QuickRequests()
    for each in seconds:
        quick.took("kind", each, expected=expected)
    return quick


def test_nothing_is_quick_before_it_is_known():
    assert not QuickRequests().includes("kind")
    assert not taught(1e-4).includes("other")


@pytest.mark.parametrize(("seconds", "is_quick"), [(4e-4, True), (6e-4, False)])
def test_what_took_less_than_half_a_millisecond_is_quick(seconds, is_quick):
    assert taught(seconds).includes("kind") == is_quick


def test_a_busy_machine_makes_no_slow_model():
    assert taught(1e-4, *[5e-3] * 20).includes("kind")
    assert taught(5e-3, 1e-4).includes("kind")


def test_what_has_become_slow_is_found_out():
    assert not taught(1e-4, *[5e-3] * 100).includes("kind")


def test_what_was_not_as_quick_as_expected_is_not_quick_for_a_thousand_requests():
    quick = taught(1e-4)
    quick.took("kind", 5e-3, expected=True)
    for _ in range(1000):
        assert not quick.includes("kind")
        quick.took("kind", 1e-4, expected=False)
    assert quick.includes("kind")


def test_it_forgets_the_kinds_that_came_longest_ago():
    quick = taught(1e-4)
    for number in range(1000):
        quick.took(number, 1e-4, expected=False)
    assert quick.includes("kind")
    quick.took("kind", 1e-4, expected=True)
    for number in range(1000, 2020):
        quick.took(number, 1e-4, expected=False)
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
