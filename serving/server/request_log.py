"""The log of requests and answers: files that servers can replay to warm versions up."""

import logging
import random
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stn_tf.errors import ConfigError
from stn_tf.serving.models.store import ServedVersion
from stn_tf.serving.protocol import messages, wire
from stn_tf.serving.server.metrics import Metrics
from stn_tf.serving.server.options import ServerOptions
from stn_tf.serving.server.record_files import FileLimits, RecordFiles

_LOG = logging.getLogger(__name__)
# What may wait to be written; what comes beyond it is lost.
_QUEUE_BYTES = 64 * 2**20
# What a disk that does not answer may hold up at the end.
_CLOSE_SECONDS = 5.0


@dataclass(frozen=True)
class _Entry:
    model: str
    prefix: Path
    size: int
    make: Callable[[], Any]


class RequestLog:
    """Writes requests and their answers as `PredictionLog` records, in a thread of its own.

    Nobody waits for it: what it cannot write, or cannot take, is lost and counted.

    Args:
        metrics: Where records are counted.
        directory: Where the files are, `MODEL-NNNNNN.tfrecord`. None logs only the models whose
            configuration says where.
        sampling: The share of requests, 0..1, of models whose configuration does not say.
        limits: Of the files of each model.
    """

    def __init__(
        self,
        metrics: Metrics,
        directory: Path | None = None,
        sampling: float = 1.0,
        limits: FileLimits | None = None,
    ) -> None:
        self._metrics = metrics
        self._directory = directory
        self._sampling = sampling
        self._limits = limits or FileLimits()
        self._files: dict[Path, RecordFiles] = {}
        self._said: set[str] = set()
        self._waiting: deque[_Entry] = deque()
        self._bytes = 0
        self._closed = False
        self._writer: threading.Thread | None = None
        self._changed = threading.Condition()  # Guards the queue and the thread.

    def samples(self, held: ServedVersion) -> bool:
        """Returns whether a request to this version is to be logged: what comes up by chance."""
        return self._prefix(held) is not None and random.random() < self._rate(held)

    def _rate(self, held: ServedVersion) -> float:
        wish = held.logging.sampling
        return self._sampling if wish is None else wish

    def _prefix(self, held: ServedVersion) -> Path | None:
        if held.logging.prefix is not None or self._directory is None:
            return held.logging.prefix
        return self._directory / urllib.parse.quote(held.name, safe="")

    def predict(
        self,
        held: ServedVersion,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        output_filter: Sequence[str],
        outputs: Mapping[str, np.ndarray],
    ) -> None:
        """Logs a predict request and its answer; the arrays must not change any more."""
        # Without the version itself, which may be unloaded before this is written.
        name, version = held.name, held.version
        given, found = dict(inputs), dict(outputs)
        call = wire.PredictCall(name, version, None, signature, given, tuple(output_filter))

        def fill(log: Any) -> None:
            log.predict_log.request.MergeFromString(wire.write_request(call, typed=False))
            answer = wire.write_predict(name, version, signature, found, typed=False)
            log.predict_log.response.MergeFromString(answer)

        size = sum(_size(array) for array in (*given.values(), *found.values()))
        self._log(held, signature, size, fill)

    def examples(self, held: ServedVersion, kind: str, request: Any, response: Any) -> None:
        """Logs a request with examples and its answer, messages that must not change any more.

        Args:
            held: What answered.
            kind: The field of `PredictionLog`: `classify_log`, `regress_log` or
                `multi_inference_log`.
            request: Its request.
            response: Its response.
        """

        def fill(log: Any) -> None:
            getattr(log, kind).request.CopyFrom(request)
            getattr(log, kind).response.CopyFrom(response)

        signature = "" if kind == "multi_inference_log" else response.model_spec.signature_name
        self._log(held, signature, request.ByteSize() + response.ByteSize(), fill)

    def _log(
        self, held: ServedVersion, signature: str, size: int, fill: Callable[[Any], None]
    ) -> None:
        name, version, rate, now = held.name, held.version, self._rate(held), int(time.time())

        def make() -> Any:
            log = messages.PredictionLog()
            spec = log.log_metadata.model_spec
            spec.name, spec.version.value, spec.signature_name = name, version, signature
            log.log_metadata.sampling_config.sampling_rate = rate
            log.log_metadata.timestamp_secs = now
            fill(log)
            return log

        prefix = self._prefix(held)
        assert prefix is not None
        self._put(_Entry(name, prefix, size, make))

    def _put(self, entry: _Entry) -> None:
        with self._changed:
            fits = not self._waiting or self._bytes + entry.size <= _QUEUE_BYTES
            if fits and not self._closed:
                self._waiting.append(entry)
                self._bytes += entry.size
                if self._writer is None:
                    self._writer = threading.Thread(
                        target=self._write, name="request-log", daemon=True
                    )
                    self._writer.start()
                self._changed.notify()
                return
        self._metrics.logged(entry.model, "queue_full")

    def close(self) -> None:
        """Writes what waits, and takes nothing more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._writer is not None:
            self._writer.join(_CLOSE_SECONDS)

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    break
                entry = self._waiting.popleft()
                self._bytes -= entry.size
            try:
                files = self._files.setdefault(
                    entry.prefix, RecordFiles(entry.prefix, self._limits)
                )
                files.write(entry.make().SerializeToString())
            except Exception as error:  # Whatever the disk does, the server goes on.
                self._failed(entry, error)
            else:
                self._said.discard(entry.model)
                self._metrics.logged(entry.model, "written")
        for files in self._files.values():
            files.close()

    def _failed(self, entry: _Entry, error: Exception) -> None:
        self._metrics.logged(entry.model, "failed")
        if entry.model not in self._said:
            self._said.add(entry.model)
            reason = error.strerror if isinstance(error, OSError) else error
            _LOG.warning("The request log %s-* cannot be written: %s", entry.prefix, reason)


def request_log(options: ServerOptions, metrics: Metrics) -> RequestLog:
    """Returns the log that the options want.

    Raises:
        ConfigError: If its folder cannot be made.
    """
    if options.request_log is not None:
        try:
            options.request_log.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"`--request_log` must name a folder, but {options.request_log} cannot be made: "
                f"{error.strerror}."
            ) from None
    limits = FileLimits(options.request_log_file_bytes, options.request_log_files)
    return RequestLog(metrics, options.request_log, options.request_log_sampling, limits)


def _size(array: np.ndarray) -> int:
    return array.nbytes if array.dtype.kind != "O" else sum(map(len, array.ravel().tolist()))
