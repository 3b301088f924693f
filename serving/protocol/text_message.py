"""Configuration files: one message in protobuf's text format."""

from os import PathLike
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from stn_tf.errors import ConfigError


def read_text_message(path: str | PathLike[str], kind: Any) -> Any:
    """Reads a file that holds a message of a class of `serving.protocol.messages`.

    Raises:
        ConfigError: If the file cannot be read or is not such a message; with line and column.
    """
    return parse_text_message(read_text(path), kind, str(path))


def read_text(path: str | PathLike[str]) -> str:
    """Reads a configuration file.

    Raises:
        ConfigError: If it cannot be read, or is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"`{path}` cannot be read: {reason}.") from None


def parse_text_message(text: str, kind: Any, source: str) -> Any:
    """Reads a message from text; errors name `source`, line and column.

    Raises:
        ConfigError: If it is not such a message.
    """
    try:
        return text_format.Parse(text, kind())
    except (text_format.ParseError, UnicodeError) as error:
        name = kind.DESCRIPTOR.full_name
        raise ConfigError(f"Error parsing text-format {name} in {source}: {error}") from None
