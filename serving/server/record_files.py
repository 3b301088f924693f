"""TFRecord files of bounded size and number, one after the other."""

import contextlib
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

from stn_tf.serving.models.tf_records import framed
from stn_tf.serving.models.warmup_records import MAX_RECORDS

_SUFFIX = ".tfrecord"


@dataclass(frozen=True)
class FileLimits:
    """What a log may take of a disk.

    Attributes:
        file_bytes: Size at which a file is full; one record may be larger.
        files: How many are kept; the oldest goes when another one starts.
    """

    file_bytes: int = 64 * 2**20
    files: int = 16


class RecordFiles:
    """Files `PREFIX-000001.tfrecord` and so on, which are valid whenever they are read.

    A file that is full, or that somebody has moved away, is followed by the next number. Each is
    short enough to be a warm-up file.
    """

    def __init__(self, prefix: Path, limits: FileLimits) -> None:
        self._prefix = prefix
        self._limits = limits
        self._file: io.FileIO | None = None
        self._path = prefix
        self._bytes = 0
        self._records = 0

    def write(self, record: bytes) -> None:
        """Writes a record.

        Raises:
            OSError: If it cannot be written; the file is then as it was before.
        """
        data = memoryview(framed(record))
        size = len(data)
        if self._file is not None and not self._takes(size):
            self.close()
        file = self._file or self._open()
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(self._bytes)
                file.seek(self._bytes)
            raise
        self._bytes += size
        self._records += 1

    def close(self) -> None:
        """Closes the file; the next record starts another one."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _takes(self, size: int) -> bool:
        assert self._file is not None
        try:
            there = os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except OSError:
            return False
        full = self._bytes + size > self._limits.file_bytes or self._records >= MAX_RECORDS
        return there and not (full and self._records)

    def _open(self) -> io.FileIO:
        before = self._numbers()
        for number in before[: max(len(before) + 1 - self._limits.files, 0)]:
            with contextlib.suppress(OSError):  # Whoever else removed it.
                self._place(number).unlink()
        self._path = self._place(before[-1] + 1 if before else 1)
        self._file = io.FileIO(self._path, "x")
        self._bytes = self._records = 0
        return self._file

    def _place(self, number: int) -> Path:
        return self._prefix.with_name(f"{self._prefix.name}-{number:06}{_SUFFIX}")

    def _numbers(self) -> list[int]:
        name = re.compile(re.escape(self._prefix.name) + r"-(\d+)" + re.escape(_SUFFIX))
        found = (name.fullmatch(path.name) for path in self._prefix.parent.iterdir())
        return sorted(int(match[1]) for match in found if match)
