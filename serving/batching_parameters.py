"""How requests are batched: TensorFlow Serving's `--batching_parameters_file`, read without it."""

import os
import re
from dataclasses import dataclass
from typing import Any

from stn_tf.errors import ConfigError
from stn_tf.serving.protocol import messages
from stn_tf.serving.protocol.text_message import parse_text_message, read_text

# Fields that are messages around their value, so that leaving them out can be told.
_WRAPPED = (
    *("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads"),
    *("thread_pool_name", "enable_large_batch_splitting", "max_execution_batch_size"),
)


@dataclass(frozen=True)
class BatchingParameters:
    """What a batcher does; the defaults are TensorFlow Serving's.

    Attributes:
        max_batch_size: The most rows that are computed at once, or, with
            `enable_large_batch_splitting`, that one request may have.
        batch_timeout_micros: How long the first request of a batch waits for others; 0 takes what
            is waiting.
        max_enqueued_batches: How many full batches may wait before requests are refused.
        num_batch_threads: Batches computed at the same time; None for the number of processors.
        allowed_batch_sizes: Batches are filled up to one of these; none for any size.
        pad_variable_length_inputs: Whether rows of different sizes share a batch, with zeros.
        enable_large_batch_splitting: Whether requests are cut into batches.
        max_execution_batch_size: Rows of a batch where requests are cut; None for
            `max_batch_size`.

    Raises:
        ConfigError: If a value cannot be; the text starts with the field's name in backquotes.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int | None = None
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("max_batch_size", 1),
            ("batch_timeout_micros", 0),
            ("max_enqueued_batches", 1),
            ("num_batch_threads", 1),
            ("max_execution_batch_size", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"`{name}` must be at least {least}, but it is {value}.")
        if self.max_execution_batch_size is not None:
            if not self.enable_large_batch_splitting:
                raise ConfigError(
                    "`max_execution_batch_size` needs "
                    "`enable_large_batch_splitting { value: true }`."
                )
            if self.max_execution_batch_size > self.max_batch_size:
                raise ConfigError(
                    "`max_execution_batch_size` must be at most `max_batch_size`, "
                    f"{self.max_batch_size}, but it is {self.max_execution_batch_size}."
                )
        sizes, largest = list(self.allowed_batch_sizes), self.batch_size
        if sizes and (sizes != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != largest):
            raise ConfigError(
                f"`allowed_batch_sizes` must grow from at least 1 and end in {largest}, the "
                f"largest batch, but they are {sizes}."
            )

    @property
    def batch_size(self) -> int:
        """The most rows that are computed at once."""
        return self.max_execution_batch_size or self.max_batch_size

    @property
    def threads(self) -> int:
        """How many batches are computed at the same time."""
        return self.num_batch_threads or os.cpu_count() or 1

    def padded(self, rows: int) -> int:
        """Returns the size to which so many rows are filled up."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


def read_batching_parameters(path: str | os.PathLike[str]) -> BatchingParameters:
    """Reads the file.

    Raises:
        ConfigError: If it cannot be read, or a field is unknown or cannot be; with field and line.
    """
    return parse_batching_parameters(read_text(path), str(path))


def parse_batching_parameters(text: str, source: str = "the text") -> BatchingParameters:
    """Reads the parameters from text; errors name `source`, line and field.

    Raises:
        ConfigError: If a field is unknown or cannot be.
    """
    message = parse_text_message(text, messages.BatchingParameters, source)
    values: dict[str, Any] = {
        name: getattr(message, name).value for name in _WRAPPED if message.HasField(name)
    }
    values.pop("thread_pool_name", None)
    values["allowed_batch_sizes"] = tuple(message.allowed_batch_sizes)
    values["pad_variable_length_inputs"] = message.pad_variable_length_inputs
    try:
        return BatchingParameters(**values)
    except ConfigError as error:
        line = _line(text, str(error).split("`")[1])
        raise ConfigError(f"{source}, line {line}: {error}") from None


def _line(text: str, name: str) -> int:
    """Where a field is set first; it is set, because its value is wrong."""
    for number, line in enumerate(text.splitlines(), start=1):
        if re.search(rf"\b{name}\b", line.partition("#")[0]):
            return number
    return 1
