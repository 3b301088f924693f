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
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"`{path}` cannot be read: {reason}.") from None
    try:
        return text_format.Parse(text, kind())
    except (text_format.ParseError, UnicodeError) as error:
        name = kind.DESCRIPTOR.full_name
        raise ConfigError(f"Error parsing text-format {name} in {path}: {error}") from None
