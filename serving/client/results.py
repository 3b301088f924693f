"""What a server says, as plain values."""

from dataclasses import dataclass

import numpy as np

from stn_tf.serving.protocol.signature import Signature


@dataclass(frozen=True, eq=False)
class Prediction:
    """The outputs of a model.

    Attributes:
        outputs: Arrays by name; strings are object arrays of `bytes`.
        model: The name that was asked for.
        version: What answered. TensorFlow Serving's REST API does not say: then it is the version
            that was asked for, or None.
        signature: What was computed.
    """

    outputs: dict[str, np.ndarray]
    model: str
    version: int | None
    signature: str


@dataclass(frozen=True)
class VersionStatus:
    """The state of a version.

    Attributes:
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error_code: `"OK"`, or a gRPC code's name.
        error: Why it is not available; else empty.
    """

    version: int
    state: str
    error_code: str = "OK"
    error: str = ""


@dataclass(frozen=True)
class ModelMetadata:
    """What a version takes and gives: its signatures by name."""

    model: str
    version: int
    signatures: dict[str, Signature]


@dataclass(frozen=True)
class ServedModel:
    """A model of a server: label -> version, and its versions."""

    name: str
    labels: dict[str, int]
    versions: list[VersionStatus]
