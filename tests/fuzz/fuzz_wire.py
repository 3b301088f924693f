"""Fuzzes the reader of the wire against the generated classes; see `make fuzz`."""

import atheris
import numpy as np

with atheris.instrument_imports(include=["stn_tf.serving.protocol"]):
    from stn_tf.serving.protocol import wire
    from stn_tf.serving.protocol.messages import PredictRequest, PredictResponse
    from tests.fuzz.fuzzing import fuzz
    from tests.serving.protocol.wire_verdicts import check_request, check_response

ARRAYS = {
    "x": np.arange(4, dtype=np.float32).reshape(1, 2, 2),
    "double": np.ones(1),
    "n": np.arange(3),
    "half": np.float16([1, 2]),
    "ok": np.array([True, False]),
    "text": np.array([b"ab", b""], object),
}
# A name, a type, a size, values.
WORDS = [b"\x0a\x03net", b"\x08\x01", b"\x12\x02\x08\x02", b"\x2a\x04\0\0\0\0", b"\x22\x01\0"]


def seeds() -> list[bytes]:
    """Requests and answers of every kind."""
    found = []
    for typed in (True, False):
        for name, array in ARRAYS.items():
            call = wire.PredictCall("net", 3, None, "s", {name: array}, ("y",))
            found.append(wire.write_request(call, typed))
            found.append(wire.write_predict("net", 3, "s", {name: array}, typed))
        call = wire.PredictCall("net", None, "stable", "", ARRAYS, ())
        found.append(wire.write_request(call, typed))
    return found


def check(data: bytes) -> None:
    """Both readers, against the classes that stn-tf makes of the published descriptions."""
    check_request(data, PredictRequest)
    check_response(data, PredictResponse)


if __name__ == "__main__":
    fuzz(check, seeds(), WORDS)
