"""`ModelSpec` messages: which model a request is for, and which version and signature answered."""

from collections.abc import Mapping
from typing import Any

from stn_tf.serving.protocol.status import invalid

# Of an answer over REST: the version that gave it. TensorFlow Serving says so over gRPC alone.
VERSION_HEADER = "X-Model-Version"

# The name, version and label of a model.
Place = tuple[str, int | None, str | None]


def requested_place(request: Any) -> Place:
    """Returns the model that a request is for.

    Raises:
        Status: INVALID_ARGUMENT, if the request does not say.
    """
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return place_of(request.model_spec)


def place_of(spec: Any) -> Place:
    """Returns the model that a `ModelSpec` names."""
    version = spec.version.value if spec.HasField("version") else None
    label = spec.version_label if spec.HasField("version_label") else None
    return spec.name, version, label


def write_spec(spec: Any, name: str, version: int, signature: str) -> None:
    """Writes what answered into a `ModelSpec`."""
    spec.name = name
    spec.version.value = version
    spec.signature_name = signature


def model_version(headers: Mapping[str, str]) -> int | None:
    """Returns the version that an answer over REST is from, where its headers say so."""
    text = headers.get(VERSION_HEADER, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
