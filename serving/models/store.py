"""The models of a server: versions that come and go while requests are answered."""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stn_tf.serving.models.directory import versions
from stn_tf.serving.models.memory import give_back
from stn_tf.serving.models.model_config import LoggingConfig, ModelConfig
from stn_tf.serving.models.model_versions import Model, Version, VersionStatus
from stn_tf.serving.models.servable import Servable, load_servable
from stn_tf.serving.models.warmup_records import warm_up
from stn_tf.serving.protocol.status import Status, invalid


@dataclass(frozen=True)
class FoundVersion:
    """A version that is to be loaded, of the model `name`."""

    name: str
    version: int
    path: Path


@dataclass(frozen=True)
class ServedVersion:
    """A version in use: it stays loaded until the block of `ModelStore.acquire` ends."""

    name: str
    version: int
    servable: Servable
    logging: LoggingConfig


# Told of every change of state, from the thread that loads, unloads or answers; it must not wait
# for other threads that use the store.
Observer = Callable[[str, VersionStatus], None]


def _load(found: FoundVersion) -> Servable:
    return load_servable(found.path)


class ModelStore:
    """Loads models and hands them out; every method may be called from any thread."""

    def __init__(
        self,
        load: Callable[[FoundVersion], Servable] = _load,
        *,
        enable_model_warmup: bool = True,
        allow_version_labels_for_unavailable_models: bool = False,
        observe: Observer | None = None,
    ) -> None:
        """Makes an empty store; `reload` gives it models.

        Args:
            load: What loads a version.
            enable_model_warmup: Whether the requests that a version brings are replayed first.
            allow_version_labels_for_unavailable_models: Whether a new label may name a version
                that is not served yet.
            observe: Is told of every change of state.
        """
        self._load = load
        self._warm_up = enable_model_warmup
        self._early_labels = allow_version_labels_for_unavailable_models
        self._observe = observe
        self._models: dict[str, Model] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._changed = threading.Condition()  # Guards all of the above and the versions.
        self._working = threading.RLock()  # One thread at a time loads.
        self._stopped = threading.Event()
        self._poller: threading.Thread | None = None

    def reload(self, configs: Sequence[ModelConfig]) -> None:
        """Serves these models, and no others, once their versions are loaded.

        Raises:
            Status: INVALID_ARGUMENT if a name is repeated: nothing changes. UNKNOWN if a model
                has no version that can be loaded, FAILED_PRECONDITION if a label names a version
                that is not served: the other models are served all the same.
        """
        names = [config.name for config in configs]
        for name in names:
            if names.count(name) > 1:
                raise invalid(f"Illegal to list model {name} multiple times in config list")
        with self._working:
            with self._changed:
                for model in self._models.values():
                    model.config = None
                for config in configs:
                    model = self._models.setdefault(config.name, Model(config.name))
                    model.config = config
                self._labels = {n: kept for n, kept in self._labels.items() if n in names}
            self.poll_once()
            with self._changed:
                failed = {n: m for n in names if not (m := self._models[n]).available()}
                if failed:
                    reasons = ", ".join(f"{n}: {m.reason()}" for n, m in failed.items())
                    raise Status("UNKNOWN", f"Some models did not become available: {{{reasons}}}")
                self._labels = {config.name: self._checked_labels(config) for config in configs}

    def _checked_labels(self, config: ModelConfig) -> dict[str, int]:
        known = self._labels.get(config.name, {})
        available = self._models[config.name].available()
        for label, version in config.labels.items():
            early = self._early_labels and label not in known
            if version not in available and not early:
                raise Status(
                    "FAILED_PRECONDITION",
                    f"Request to assign label to version {version} of model {config.name}, which "
                    "is not currently available for inference",
                )
        return dict(config.labels)

    def poll_once(self) -> None:
        """Looks at the disk, loads what is new, and then lets go of what it replaces."""
        with self._working:
            for model in list(self._models.values()):
                self._update(model)

    def _update(self, model: Model) -> None:
        config = model.config
        try:
            found = {} if config is None else versions(config.base_path)
            model.error = "" if found else "no versions of the model are under its base path"
        except OSError as error:
            # It may be back at the next look; nothing is unloaded because a disk is away.
            model.error = f"`{error.filename}` cannot be read: {error.strerror}"
            return
        chosen = config.policy.choose(found) if config is not None else ()
        wanted = {number: found[number] for number in chosen}
        with self._changed:
            new = model.discover(wanted)
        for version in new:
            self._start(model, version)
        with self._changed:
            old = model.replaced(wanted)
        for version in old:
            self._retire(model, version)

    def _start(self, model: Model, version: Version) -> None:
        self._move(model, version, "START")
        self._move(model, version, "LOADING")
        servable = None
        try:
            servable = self._load(FoundVersion(model.name, version.number, version.path))
            if self._warm_up:
                warm_up(servable)
        except Exception as error:  # Whatever a model does, the server goes on.
            if servable is not None:
                servable.close()
            version.fail(error)
            self._move(model, version, "END")
            return
        version.servable = servable
        self._move(model, version, "AVAILABLE")

    def _retire(self, model: Model, version: Version) -> None:
        """Takes a version out of use; its last user unloads it, if there is one."""
        with self._changed:
            self._move(model, version, "UNLOADING")
            idle = version.users == 0
        if idle:
            self._unload(model, version)

    def _unload(self, model: Model, version: Version) -> None:
        servable, version.servable = version.servable, None
        if servable is not None:
            with contextlib.suppress(Exception):  # It is gone either way.
                servable.close()
            del servable
            give_back()
        self._move(model, version, "END")

    def _move(self, model: Model, version: Version, state: str) -> None:
        with self._changed:
            version.state = state
            status = version.status()
            self._changed.notify_all()
        if self._observe is not None:
            self._observe(model.name, status)

    @contextlib.contextmanager
    def acquire(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[ServedVersion]:
        """Gives a version for the length of the block: the latest, or by number or label.

        Raises:
            Status: If there is no such model, version or label.
        """
        with self._changed:
            model, found = self._find(name, version, label)
            found.users += 1
            assert found.servable is not None
            served = ServedVersion(name, found.number, found.servable, model.logging)
        try:
            yield served
        finally:
            # The caller's frame may live on; the model must not, once it is unloaded.
            del served
            with self._changed:
                found.users -= 1
                last = found.users == 0 and found.state == "UNLOADING"
            if last:
                self._unload(model, found)

    def _find(self, name: str, version: int | None, label: str | None) -> tuple[Model, Version]:
        if label is not None:
            version = self._labels.get(name, {}).get(label)
            if version is None:
                raise invalid(f"Unrecognized servable version label: {label}")
        model = self._models.get(name)
        available = model.available() if model is not None else {}
        if version is None and available:
            version = max(available)
        if model is None or version not in available:
            which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Status("NOT_FOUND", f"Servable not found for request: {which}")
        return model, available[version]

    def names(self) -> list[str]:
        """Returns the models that are configured."""
        with self._changed:
            return sorted(n for n, model in self._models.items() if model.config is not None)

    def labels(self, name: str) -> Mapping[str, int]:
        """Returns the labels of a model and their versions."""
        with self._changed:
            return dict(self._labels.get(name, {}))

    def status(self, name: str, version: int | None = None) -> list[VersionStatus]:
        """Returns where the versions of a model are, or one of them, newest first.

        Raises:
            Status: NOT_FOUND if there are none.
        """
        with self._changed:
            model = self._models.get(name)
            found = model.statuses() if model is not None else {}
        if not found:
            raise Status("NOT_FOUND", f"Could not find any versions of model {name}")
        if version is not None and version not in found:
            raise Status("NOT_FOUND", f"Could not find version {version} of model {name}")
        numbers: Iterable[int] = sorted(found, reverse=True) if version is None else [version]
        return [found[number] for number in numbers]

    def statuses(self) -> list[tuple[str, VersionStatus]]:
        """Returns where all versions are, each with its model."""
        with self._changed:
            return [(n, s) for n, m in self._models.items() for s in m.statuses().values()]

    def wait_until(
        self, name: str, version: int, state: str, timeout_seconds: float | None = None
    ) -> bool:
        """Waits for a version to be in a state; returns whether it is."""

        def reached() -> bool:
            model = self._models.get(name)
            return any(
                v.number == version and v.state == state for v in (model.versions if model else ())
            )

        with self._changed:
            return self._changed.wait_for(reached, timeout_seconds)

    def start_polling(self, interval_seconds: float) -> None:
        """Looks at the disk again and again, in a thread, until the store is closed."""
        if self._poller is not None or interval_seconds <= 0:
            raise ValueError("`interval_seconds` must be above 0, and polling starts only once.")
        self._poller = threading.Thread(
            target=self._poll, args=(interval_seconds,), name="model-store", daemon=True
        )
        self._poller.start()

    def _poll(self, interval_seconds: float) -> None:
        while not self._stopped.wait(interval_seconds):
            self.poll_once()

    def close(self) -> None:
        """Stops polling and unloads every version, each after its last request."""
        self._stopped.set()
        if self._poller is not None:
            self._poller.join()
        self.reload([])
        with self._changed:
            self._changed.wait_for(
                lambda: all(v.state == "END" for m in self._models.values() for v in m.versions)
            )
