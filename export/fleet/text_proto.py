"""Writes protocol buffers' text format where Python has no classes of the messages.

Triton's configuration and TensorFlow Serving's batching parameters are read from such files, but no
package that this one needs ships their classes.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from google.protobuf import text_encoding

from stn_tf.errors import ExportError


class Name(str):
    """The name of an enum's value, which stands without quotes."""


Value: TypeAlias = str | bool | int | float | Sequence["Value"] | Mapping[str, "Value"]


def text_proto(fields: Mapping[str, Value]) -> str:
    """Returns a message as text: a mapping for a message, a sequence for a repeated field."""
    return "".join(f"{line}\n" for line in _lines(fields))


def _lines(fields: Mapping[str, Value]) -> list[str]:
    lines = []
    for name, value in fields.items():
        repeated = isinstance(value, Sequence) and not isinstance(value, str)
        for entry in value if repeated else [value]:  # type: ignore[union-attr]
            if isinstance(entry, Mapping):
                lines += [f"{name} {{", *(f"  {line}" for line in _lines(entry)), "}"]
            else:
                lines.append(f"{name}: {_scalar(entry)}")
    return lines


def _scalar(value: Value) -> str:
    if isinstance(value, Name):
        return str(value)
    if isinstance(value, str):
        return f'"{text_encoding.CEscape(value, as_utf8=True)}"'
    return str(value).lower() if isinstance(value, bool) else str(value)


def write_text(path: Path, text: str) -> None:
    """Writes a file that a server may be watching: whole, in the place of the old one.

    Raises:
        ExportError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with open(handle, "w", encoding="utf-8") as file:
                file.write(text)
            # mkstemp makes it for one user; a server may be another.
            os.chmod(aside, 0o644)
            os.replace(aside, path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ExportError(
            f"`{path}` cannot be written: {error.strerror}. Choose another place."
        ) from error
