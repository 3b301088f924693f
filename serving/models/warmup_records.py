"""Warm-up requests in a version directory: read and replayed before the version takes traffic."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stn_tf.errors import ModelError
from stn_tf.serving.models.servable import Servable
from stn_tf.serving.protocol import messages
from stn_tf.serving.protocol.signature import DEFAULT
from stn_tf.serving.protocol.status import Status
from stn_tf.serving.protocol.tensors import to_array

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS = 1000  # TensorFlow Serving's limit.

_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reflected.
_ONES = 0xFFFFFFFF


def warm_up(servable: Servable) -> int:
    """Replays the requests in a version directory, if there are any.

    Returns:
        How many there were.

    Raises:
        ModelError: If the file is damaged or too long, or a request fails.
    """
    path = servable.version_dir / WARMUP_FILE
    if not path.is_file():
        return 0
    count = 0
    for count, record in enumerate(read_records(path), start=1):
        if count > MAX_RECORDS:
            raise ModelError(f"`{path}` holds more than {MAX_RECORDS} requests. Write fewer.")
        try:
            _replay(servable, messages.PredictionLog.FromString(record))
        except Exception as error:  # A decoder's, or whatever the model's computation raises.
            raise ModelError(f"Request {count} of `{path}` fails: {error}") from error
    return count


def _replay(servable: Servable, log: Any) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        inputs = {name: to_array(proto, name) for name, proto in request.inputs.items()}
        name = request.model_spec.signature_name or DEFAULT
        servable.run(name, inputs, list(request.output_filter) or None)
    elif kind in ("classify_log", "regress_log"):
        request = getattr(log, kind).request
        _replay_examples(servable, request.model_spec.signature_name, request.input)
    elif kind == "multi_inference_log":
        request = log.multi_inference_log.request
        for task in request.tasks:
            _replay_examples(servable, task.model_spec.signature_name, request.input)
    else:
        raise ValueError(f"a log of kind {kind} is not supported.")


def _replay_examples(servable: Servable, signature: str, given: Any) -> None:
    name = signature or DEFAULT
    if name not in servable.signatures:
        raise Status("INVALID_ARGUMENT", f"No signature was found with the name: {name}")
    part = getattr(given, given.WhichOneof("kind") or "example_list")
    examples = np.empty(len(part.examples), object)
    for row, example in enumerate(part.examples):
        merged = messages.Example()
        if part.DESCRIPTOR.name == "ExampleListWithContext":
            merged.CopyFrom(part.context)
        merged.MergeFrom(example)
        examples[row] = merged.SerializeToString()
    (only,) = servable.signatures[name].inputs
    servable.run(name, {only: examples})


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
            if len(header) < 12 or _masked(header[:8]) != int.from_bytes(header[8:], "little"):
                raise _damaged(path, number)
            record, end = file.read(length), file.read(4)
            if len(record) < length or len(end) < 4:
                raise _damaged(path, number)
            if _masked(record) != int.from_bytes(end, "little"):
                raise _damaged(path, number)
            yield record


def _damaged(path: Path, number: int) -> ModelError:
    return ModelError(
        f"`{path}` is damaged: record {number} is cut short or has a wrong sum. Copy it again, "
        "or remove it to serve without warm-up."
    )


def _masked(content: bytes) -> int:
    """The sum as TFRecord files hold it: rotated, so that sums of sums are safe."""
    crc = crc32c(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & _ONES


def crc32c(content: bytes) -> int:
    """Returns the CRC-32C of some bytes.

    The sum is linear, so that long content is cut into equal blocks that are summed side by side;
    leading zeros change nothing once the initial ones are folded into the first four bytes.
    """
    if len(content) < 4:
        return _step_by_step(content)
    columns = int(len(content) ** 0.5)
    padding = -len(content) % columns
    flat = np.zeros(padding + len(content), np.uint8)
    flat[padding:] = np.frombuffer(content, np.uint8)
    flat[padding : padding + 4] ^= 0xFF
    blocks = flat.reshape(-1, columns)
    table = _table()
    sums = np.zeros(len(blocks), np.uint32)
    for column in np.ascontiguousarray(blocks.T):
        sums = table[(sums ^ column) & 0xFF] ^ (sums >> np.uint32(8))
    shift = _shift(columns)
    crc = 0
    for block in sums.tolist():
        crc = (
            (shift[0][crc & 255] ^ shift[1][crc >> 8 & 255] ^ shift[2][crc >> 16 & 255])
            ^ shift[3][crc >> 24]
            ^ block
        )
    return int(crc) ^ _ONES


def _step_by_step(content: bytes) -> int:
    crc = _ONES
    for byte in content:
        crc = int(_table()[(crc ^ byte) & 255]) ^ crc >> 8
    return crc ^ _ONES


@functools.cache
def _table() -> np.ndarray:
    """What one byte makes of a sum of zero."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        odd = (table & 1).astype(bool)
        table = np.where(odd, table >> np.uint32(1) ^ np.uint32(_POLYNOMIAL), table >> np.uint32(1))
    return table


@functools.lru_cache(maxsize=16)
def _shift(count: int) -> list[list[int]]:
    """What so many zero bytes make of a sum, by each of its four bytes."""
    table = _table()
    sums = np.arange(256, dtype=np.uint32) << (np.arange(4, dtype=np.uint32) * 8)[:, None]
    for _ in range(count):
        sums = table[sums & 0xFF] ^ (sums >> np.uint32(8))
    return [[int(value) for value in row] for row in sums]
