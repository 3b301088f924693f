"""A version of a model behind batchers."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from stn_tf.serving.models.batched_servable import BatchedServable
from stn_tf.serving.models.model_config import ModelConfig
from stn_tf.serving.models.servable import Servable, load_servable
from stn_tf.serving.models.store import FoundVersion, ModelStore
from stn_tf.serving.protocol.status import Status


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
