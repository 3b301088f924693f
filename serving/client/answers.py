"""Messages of a server as results."""

from typing import Any

from stn_tf.serving.client.results import ModelMetadata, VersionStatus
from stn_tf.serving.protocol.enums import CODES
from stn_tf.serving.protocol.messages import State
from stn_tf.serving.protocol.signature_def import read_signatures

_CODES = {number: name for name, number in CODES.items()}
_STATES = {number: name for name, number in State.items()}


def version_states(response: Any) -> list[VersionStatus]:
    """Reads a `GetModelStatusResponse`."""
    return [
        VersionStatus(
            one.version,
            _STATES.get(one.state, "UNKNOWN"),
            _CODES.get(one.status.error_code, "UNKNOWN"),
            one.status.error_message,
        )
        for one in response.model_version_status
    ]


def model_metadata(spec: Any, signatures: Any) -> ModelMetadata:
    """Reads a `ModelSpec` and a `SignatureDefMap`."""
    return ModelMetadata(spec.name, spec.version.value, read_signatures(signatures.signature_def))
