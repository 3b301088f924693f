"""A model in a server's store, and where each of its versions is in its life.

A version is found on disk (START), loaded and warmed up (LOADING), and takes requests (AVAILABLE)
until newer ones have replaced it (UNLOADING) and its last request is answered (END). One that fails
to load ends with the reason.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stn_tf.errors import ModelError
from stn_tf.export.publish.manifest import ONNX_FILE, SAVED_MODEL_FILE
from stn_tf.serving.models.model_config import LoggingConfig, ModelConfig
from stn_tf.serving.models.servable import Servable
from stn_tf.serving.protocol.status import Status


@dataclass(frozen=True)
class VersionStatus:
    """Where a version is in its life.

    Attributes:
        version: Its number.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error: Why it could not be loaded, if so.
    """

    version: int
    state: str
    error: Status | None = None


@dataclass(eq=False)
class Version:
    """A version; `users` are the requests that it answers."""

    number: int
    path: Path
    files: tuple[object, ...]
    state: str = "START"
    error: Status | None = None
    servable: Servable | None = None
    users: int = 0

    def status(self) -> VersionStatus:
        """Returns where it is."""
        return VersionStatus(self.number, self.state, self.error)

    def fail(self, error: Exception) -> None:
        """Notes why it could not be loaded."""
        text = " ".join(str(error).split()) or type(error).__name__
        code = error.code if isinstance(error, Status) else "UNKNOWN"
        if isinstance(error, ModelError):
            code = "FAILED_PRECONDITION"
        self.error = Status(code, text)


@dataclass(eq=False)
class Model:
    """A model that is, or was, configured; the versions are in the order of their discovery."""

    name: str
    config: ModelConfig | None = None
    versions: list[Version] = field(default_factory=list)
    error: str = ""

    @property
    def logging(self) -> LoggingConfig:
        """What its configuration says of the request log."""
        return LoggingConfig() if self.config is None else self.config.logging

    def available(self) -> dict[int, Version]:
        """Returns the versions that take requests, by number."""
        return {v.number: v for v in self.versions if v.state == "AVAILABLE"}

    def discover(self, wanted: Mapping[int, Path]) -> list[Version]:
        """Returns the versions that are to be loaded of those that are wanted, lowest first."""
        for number, path in sorted(wanted.items()):
            self._discover(number, path)
        return [v for v in self.versions if v.state == "START"]

    def _discover(self, number: int, path: Path) -> None:
        same = [v for v in self.versions if v.number == number and v.path == path]
        if any(v.state in ("START", "LOADING", "AVAILABLE") for v in same):
            return
        # What failed is tried again when its files have changed; what was let go, when it is
        # wanted again, even if the last user of the other one is not gone yet.
        files = _files(path)
        if any(v.error is not None and v.files == files for v in same):
            return
        for version in same:
            if version.state == "END":
                self.versions.remove(version)
        self.versions.append(Version(number, path, files))

    def replaced(self, wanted: Mapping[int, Path]) -> list[Version]:
        """Returns the versions that are to go; nothing goes before what replaces it has come."""
        serving = [v for v in self.versions if v.state == "AVAILABLE"]
        keep = [v for v in serving if wanted.get(v.number) == v.path]
        return [] if wanted and not keep else [v for v in serving if v not in keep]

    def statuses(self) -> dict[int, VersionStatus]:
        """Returns where the versions are, by number; the last of those that have one number."""
        return {v.number: v.status() for v in self.versions}

    def reason(self) -> str:
        """Returns why there is no version."""
        errors = [v for v in self.versions if v.error is not None]
        return f"version {errors[-1].number}: {errors[-1].error}" if errors else self.error


def _files(path: Path) -> tuple[object, ...]:
    """What changes when somebody repairs a version."""
    found: list[object] = []
    for place in (path, path / ONNX_FILE, path / SAVED_MODEL_FILE, path / "assets.extra"):
        with contextlib.suppress(OSError):
            status = place.stat()
            found.append((place.name, status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)
