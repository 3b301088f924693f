"""Examples of several requests in one batch, and requests that nobody waits for any more."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stn_tf.serving.batching import Batch
from stn_tf.serving.batching_parameters import BatchingParameters
from stn_tf.serving.models.batched_servable import BatchedServable
from stn_tf.serving.models.model_config import ModelConfig
from stn_tf.serving.models.servable import Servable, load_servable
from stn_tf.serving.models.store import FoundVersion, ModelStore
from stn_tf.serving.protocol.status import Status
from stn_tf.serving.server.inference import infer, multi_infer
from stn_tf.serving.server.metrics import Metrics
from stn_tf.serving.server.service import ModelService
from tests.serving.server.inference.models import CLASSIFY
from tests.serving.server.inference.requests import ONE_AND_FOUR, examples, multi, numbers


@pytest.fixture
def store(config: Path) -> Iterator[tuple[ModelStore, list[Batch]]]:
    """Models whose batches have two rows, or wait until nobody does any more."""
    batches: list[Batch] = []
    parameters = BatchingParameters(max_batch_size=2, batch_timeout_micros=10**9)

    def load(version: FoundVersion) -> Servable:
        def observe(signature: str, batch: Batch) -> None:
            batches.append(batch)

        return BatchedServable(
            load_servable(version.path, "saved_model"), parameters, observe=observe
        )

    found = ModelStore(load)
    found.reload([ModelConfig("one", config.parent / "one")])
    yield found, batches
    found.close()


def test_requests_are_computed_together(store: tuple[ModelStore, list[Batch]]) -> None:
    models, batches = store
    service, place = ModelService(models, Metrics()), ("one", None, None)

    def answer(value: float) -> list[float]:
        return numbers(infer(service, "Regress", place, "line", examples(value), None).result)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(answer, [1.0, 4.0])) == [[2.5], [4.0]]
    assert [(batch.requests, batch.rows) for batch in batches] == [(2, 2)]


def test_deadline_that_has_passed(store: tuple[ModelStore, list[Batch]]) -> None:
    models, batches = store
    service, late = ModelService(models, Metrics()), time.monotonic() - 1e-3
    request = multi(("one", "", CLASSIFY))
    for answer in (
        lambda: infer(service, "Classify", ("one", None, None), "", ONE_AND_FOUR, late),
        lambda: multi_infer(service, request, late),
    ):
        with pytest.raises(Status) as error:
            answer()
        assert error.value.code == "DEADLINE_EXCEEDED"
    assert not batches
