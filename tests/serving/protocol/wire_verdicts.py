"""Whether the reader of the wire says of a message what its generated class says."""

from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from stn_tf.serving.protocol import wire
from stn_tf.serving.protocol.call import predict_answer, predict_call, read_answer, read_call
from stn_tf.serving.protocol.status import Status


def check_request(data: bytes, kind: Any) -> bool:
    """Holds `read_call` against a class of `PredictRequest`; says whether it went the fast way.

    Raises:
        AssertionError: If they do not agree.
        Exception: If the package refuses with anything but a Status.
    """
    fast = wire.read_predict(data)
    found = _verdict(lambda: read_call(data))
    expected = _verdict(lambda: predict_call(_parsed(kind, data)))
    _same(found, expected, "inputs")
    if fast is not None:
        _same(fast, expected, "inputs")
    return fast is not None


def check_response(data: bytes, kind: Any) -> bool:
    """As `check_request`, of `read_answer` and a class of `PredictResponse`."""
    fast = wire.read_response(data)
    found = _verdict(lambda: read_answer(data))
    expected = _verdict(lambda: predict_answer(_parsed(kind, data)))
    _same(found, expected, "outputs")
    if fast is not None:
        _same(fast, expected, "outputs")
    return fast is not None


def _parsed(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise Status("INVALID_ARGUMENT", f"Error parsing {kind.DESCRIPTOR.name}") from None


def _verdict(read: Any) -> Any:
    try:
        return read()
    except Status as error:
        return error


def _same(ours: Any, real: Any, arrays: str) -> None:
    assert type(ours) is type(real), f"{ours!r} is not {real!r}"
    if isinstance(ours, Status):
        assert (ours.code, ours.message) == (real.code, real.message)
        return
    first, second = vars(ours).copy(), vars(real).copy()
    values, expected = first.pop(arrays), second.pop(arrays)
    assert first == second
    assert values.keys() == expected.keys()
    for name, value in values.items():
        assert (value.dtype, value.shape) == (expected[name].dtype, expected[name].shape)
        if value.dtype == np.object_:
            assert value.tolist() == expected[name].tolist()
        else:
            assert value.tobytes() == expected[name].tobytes()
