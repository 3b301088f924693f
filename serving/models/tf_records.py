"""TFRecord files without TensorFlow."""

from collections.abc import Iterator
from pathlib import Path

import google_crc32c

from stn_tf.errors import ModelError


def read_records(path: Path) -> Iterator[bytes]:
    """Reads a TFRecord file and checks its sums.

    Raises:
        ModelError: If a record is cut short or has another sum than it should.
    """
    with path.open("rb") as file:
        number = 0
        while header := file.read(12):
            number += 1
            length = int.from_bytes(header[:8], "little")
            if len(header) < 12 or header[8:] != _sum(header[:8]):
                raise _damaged(path, number)
            record, end = file.read(length), file.read(4)
            if len(record) < length or end != _sum(record):
                raise _damaged(path, number)
            yield record


def framed(record: bytes) -> bytes:
    """Returns a record as it stands in a TFRecord file."""
    length = len(record).to_bytes(8, "little")
    return b"".join([length, _sum(length), record, _sum(record)])


def _damaged(path: Path, number: int) -> ModelError:
    return ModelError(
        f"`{path}` is damaged: record {number} is cut short or has a wrong sum. Copy it again, "
        "or remove it to serve without warm-up."
    )


def _sum(content: bytes) -> bytes:
    """The CRC-32C as TFRecord files hold it: rotated, so that sums of sums are safe."""
    crc: int = google_crc32c.value(content)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return masked.to_bytes(4, "little")
