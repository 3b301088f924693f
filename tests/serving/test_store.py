"""Versions that come and go under a store of models, with real models and threads."""

import gc
import shutil
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from stn_tf.serving.models.model_config import ModelConfig
from stn_tf.serving.models.model_versions import VersionStatus
from stn_tf.serving.models.servable import Servable, load_servable
from stn_tf.serving.models.store import FoundVersion, ModelStore
from stn_tf.serving.models.version_policy import All, Latest, Specific
from stn_tf.serving.models.warmup_records import WARMUP_FILE
from stn_tf.serving.protocol.status import Status

WAIT = 60.0


def publish(model_dir: Path, base_path: Path, version: int | str) -> Path:
    """Puts a copy of the exported model there as exports do: whole, by a rename."""
    aside = base_path / f".{version}"
    (aside / "assets.extra").mkdir(parents=True)
    for name in ("model.onnx", "assets.extra/stn_tf.json", WARMUP_FILE):
        shutil.copy(model_dir / "1" / name, aside / name)
    return aside.rename(base_path / str(version))


def load(found: FoundVersion) -> Servable:
    return load_servable(found.path, threads=1)


@pytest.fixture
def base_path(model_dir: Path, tmp_path: Path) -> Path:
    publish(model_dir, tmp_path / "m", 1)
    return tmp_path / "m"


@pytest.fixture
def store() -> Iterator[ModelStore]:
    store = ModelStore(load)
    yield store
    store.close()


def states(store: ModelStore, name: str = "m") -> dict[int, str]:
    return {status.version: status.state for status in store.status(name)}


def test_a_version_goes_through_its_states(base_path: Path) -> None:
    seen: list[tuple[str, VersionStatus]] = []
    store = ModelStore(load, observe=lambda name, status: seen.append((name, status)))
    store.reload([ModelConfig("m", base_path)])
    with store.acquire("m") as served:
        assert (served.name, served.version) == ("m", 1)
        assert "localize" in served.servable.signatures
    store.close()
    life = ["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]
    assert [(name, status.state) for name, status in seen] == [("m", state) for state in life]


def test_a_new_version_replaces_the_old_one(
    store: ModelStore, base_path: Path, model_dir: Path
) -> None:
    store.reload([ModelConfig("m", base_path)])
    publish(model_dir, base_path, "00000002")
    (base_path / "3.partial").mkdir()
    store.poll_once()
    assert states(store) == {2: "AVAILABLE", 1: "END"}
    with store.acquire("m") as served:
        assert served.version == 2
    with pytest.raises(Status, match=r"^Servable not found for request: Specific\(m, 1\)$"):
        store.acquire("m", 1).__enter__()


def test_the_old_version_serves_until_the_new_one_is_warm(base_path: Path, model_dir: Path) -> None:
    loading, go_on = threading.Event(), threading.Event()

    def slow(found: FoundVersion) -> Servable:
        if found.version == 2:
            loading.set()
            assert go_on.wait(WAIT)
        return load(found)

    store = ModelStore(slow)
    store.reload([ModelConfig("m", base_path)])
    publish(model_dir, base_path, 2)
    store.start_polling(0.001)
    assert loading.wait(WAIT)
    assert states(store) == {2: "LOADING", 1: "AVAILABLE"}
    with store.acquire("m") as served:
        assert served.version == 1
    go_on.set()
    assert store.wait_until("m", 1, "END", WAIT)
    with store.acquire("m") as served:
        assert served.version == 2
    store.close()


def test_a_failed_version_leaves_the_old_one(
    store: ModelStore, base_path: Path, model_dir: Path
) -> None:
    store.reload([ModelConfig("m", base_path)])
    broken = publish(model_dir, base_path, 2) / "model.onnx"
    content = broken.read_bytes()
    broken.write_bytes(content[:99])
    for _ in range(2):
        store.poll_once()
        assert states(store) == {2: "END", 1: "AVAILABLE"}
    (status,) = store.status("m", 2)
    assert status.error is not None
    assert status.error.code == "FAILED_PRECONDITION"
    assert "is damaged" in status.error.message
    with store.acquire("m") as served:
        assert served.version == 1
    broken.write_bytes(content)
    store.poll_once()
    assert states(store) == {2: "AVAILABLE", 1: "END"}
    assert store.status("m", 2) == [VersionStatus(2, "AVAILABLE")]


def test_a_version_that_fails_to_warm_up_is_not_served(base_path: Path) -> None:
    (base_path / "1" / WARMUP_FILE).write_bytes(b"no record")
    store = ModelStore(load)
    message = r"^Some models did not become available: \{m: version 1: `.*` is damaged: record 1 "
    with pytest.raises(Status, match=message):
        store.reload([ModelConfig("m", base_path)])
    careless = ModelStore(load, enable_model_warmup=False)
    careless.reload([ModelConfig("m", base_path)])
    assert states(careless) == {1: "AVAILABLE"}
    for one in (store, careless):
        one.close()


def test_policies(store: ModelStore, base_path: Path, model_dir: Path) -> None:
    for version in (2, 3):
        publish(model_dir, base_path, version)

    def serving() -> set[int]:
        return {number for number, state in states(store).items() if state == "AVAILABLE"}

    for policy, wanted in (
        (Latest(), {3}),
        (All(), {1, 2, 3}),
        (Latest(2), {2, 3}),
        (Specific(frozenset({1, 3, 7})), {1, 3}),
        (Specific(frozenset({2})), {2}),
    ):
        store.reload([ModelConfig("m", base_path, policy)])
        assert serving() == wanted


def test_versions_stay_when_the_disk_is_away(store: ModelStore, base_path: Path) -> None:
    store.reload([ModelConfig("m", base_path)])
    away = base_path.rename(base_path.with_name("away"))
    store.poll_once()
    assert states(store) == {1: "AVAILABLE"}
    away.rename(base_path)
    shutil.rmtree(base_path / "1")
    store.poll_once()
    assert states(store) == {1: "END"}


def test_labels(store: ModelStore, base_path: Path, model_dir: Path) -> None:
    publish(model_dir, base_path, 2)
    store.reload([ModelConfig("m", base_path, All(), {"stable": 1, "canary": 2})])
    assert store.labels("m") == {"stable": 1, "canary": 2}
    for label, version in store.labels("m").items():
        with store.acquire("m", label=label) as served:
            assert served.version == version
    with pytest.raises(Status, match=r"^Unrecognized servable version label: other$") as raised:
        store.acquire("m", label="other").__enter__()
    assert raised.value.code == "INVALID_ARGUMENT"
    with pytest.raises(Status) as raised:
        store.reload([ModelConfig("m", base_path, All(), {"stable": 7})])
    assert raised.value.code == "FAILED_PRECONDITION"
    assert raised.value.message == (
        "Request to assign label to version 7 of model m, which is not currently available for "
        "inference"
    )
    assert store.labels("m") == {"stable": 1, "canary": 2}


def test_labels_of_versions_to_come(base_path: Path, model_dir: Path) -> None:
    store = ModelStore(load, allow_version_labels_for_unavailable_models=True)
    store.reload([ModelConfig("m", base_path, All(), {"canary": 2})])
    with pytest.raises(Status, match=r"Specific\(m, 2\)") as raised:
        store.acquire("m", label="canary").__enter__()
    assert raised.value.code == "NOT_FOUND"
    publish(model_dir, base_path, 2)
    store.poll_once()
    with store.acquire("m", label="canary") as served:
        assert served.version == 2
    # A label that is in use may not move to nowhere.
    with pytest.raises(Status, match="not currently available"):
        store.reload([ModelConfig("m", base_path, All(), {"canary": 3})])
    store.close()


def test_unknown_models_exception_raised(store: ModelStore, base_path: Path) -> None:
    store.reload([ModelConfig("m", base_path)])
    for call, code, message in (
        (lambda: store.acquire("x").__enter__(), "NOT_FOUND", "Latest(x)"),
        (lambda: store.acquire("x", 3).__enter__(), "NOT_FOUND", "Specific(x, 3)"),
        (lambda: store.status("x"), "NOT_FOUND", "Could not find any versions of model x"),
        (lambda: store.status("m", 7), "NOT_FOUND", "Could not find version 7 of model m"),
    ):
        with pytest.raises(Status) as raised:
            call()
        assert raised.value.code == code
        assert raised.value.message.removeprefix("Servable not found for request: ") == message


def test_reload_exception_raised(store: ModelStore, base_path: Path, tmp_path: Path) -> None:
    store.reload([ModelConfig("m", base_path)])
    with pytest.raises(Status) as raised:
        store.reload([ModelConfig("x", base_path)] * 2)
    assert raised.value.code == "INVALID_ARGUMENT"
    assert raised.value.message == "Illegal to list model x multiple times in config list"
    assert store.names() == ["m"]
    (tmp_path / "empty").mkdir()
    for name, reason in (("missing", "cannot be read"), ("empty", "no versions of the model")):
        with pytest.raises(Status, match=reason) as raised:
            store.reload([ModelConfig("m", base_path), ModelConfig("x", tmp_path / name)])
        assert raised.value.code == "UNKNOWN"
        assert states(store) == {1: "AVAILABLE"}


def test_reload_adds_moves_and_removes_models(
    store: ModelStore, base_path: Path, model_dir: Path, tmp_path: Path
) -> None:
    publish(model_dir, tmp_path / "other", 1)
    store.reload([ModelConfig("m", base_path)])
    store.reload([ModelConfig("m", tmp_path / "other"), ModelConfig("n", base_path)])
    assert store.names() == ["m", "n"]
    with store.acquire("m") as served:
        assert served.servable.version_dir == tmp_path / "other" / "1"
    store.reload([ModelConfig("n", base_path)])
    assert store.names() == ["n"]
    assert states(store, "m") == {1: "END"}
    with pytest.raises(Status, match=r"Latest\(m\)"):
        store.acquire("m").__enter__()
    store.reload([ModelConfig("m", base_path)])
    assert states(store, "m") == {1: "AVAILABLE"}


def test_a_version_in_use_is_not_unloaded(
    base_path: Path, model_dir: Path, images: np.ndarray
) -> None:
    store = ModelStore(load)
    store.reload([ModelConfig("m", base_path)])
    batch = {"images": images[:1].astype(np.float32) / 255.0}
    with store.acquire("m") as served:
        kept = weakref.ref(served.servable.session)  # type: ignore[attr-defined]
        publish(model_dir, base_path, 2)
        store.poll_once()
        assert states(store) == {2: "AVAILABLE", 1: "UNLOADING"}
        assert served.servable.run("localize", batch)["theta"].shape == (1, 2, 3)
    assert states(store) == {2: "AVAILABLE", 1: "END"}
    gc.collect()
    assert kept() is None
    store.close()


def test_no_request_fails_while_versions_swap(
    base_path: Path, model_dir: Path, images: np.ndarray, expected: dict
) -> None:
    store = ModelStore(load)
    store.reload([ModelConfig("m", base_path)])
    store.start_polling(0.001)
    batch = {"images": images[:2].astype(np.float32) / 255.0}
    done = threading.Event()

    def ask() -> set[int]:
        seen = set()
        while not done.is_set():
            with store.acquire("m") as served:
                logits = served.servable.run("serving_default", batch, ["logits"])["logits"]
                np.testing.assert_allclose(logits, expected["logits"][:2], atol=1e-4)
                seen.add(served.version)
        return seen

    with ThreadPoolExecutor(8) as pool:
        try:
            askers = [pool.submit(ask) for _ in range(8)]
            for version in range(2, 7):
                publish(model_dir, base_path, version)
                assert store.wait_until("m", version, "AVAILABLE", WAIT)
                assert store.wait_until("m", version - 1, "END", WAIT)
        finally:
            done.set()
        seen = set().union(*(asker.result() for asker in askers))
    assert seen <= set(range(1, 7))
    assert len(seen) > 1
    store.close()
    assert set(states(store).values()) == {"END"}


def test_any_error_of_loading_is_told(base_path: Path) -> None:
    def fail(found: FoundVersion) -> Servable:
        raise MemoryError

    store = ModelStore(fail)
    with pytest.raises(Status, match="m: version 1: MemoryError"):
        store.reload([ModelConfig("m", base_path)])
    store.close()


def test_polling_starts_once(store: ModelStore) -> None:
    with pytest.raises(ValueError, match="`interval_seconds` must be above 0"):
        store.start_polling(0)
    store.start_polling(3600)
    with pytest.raises(ValueError, match="polling starts only once"):
        store.start_polling(3600)
