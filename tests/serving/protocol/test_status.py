"""Every code of gRPC has its number and its HTTP status."""

import pickle

import grpc
import pytest

from stn_tf.serving.protocol import enums, status


def test_codes_are_those_of_grpc() -> None:
    assert {code.name: code.value[0] for code in grpc.StatusCode} == enums.CODES
    assert status.HTTP.keys() == enums.CODES.keys()


def test_message_is_cut() -> None:
    error = status.Status("UNAVAILABLE", "x" * 2000)
    assert (error.message, error.number, error.http) == ("x" * 1024, 14, 503)
    assert str(error) == error.message


def test_unknown_codes_are_an_error() -> None:
    for code in ("OK", "TEAPOT"):
        with pytest.raises(ValueError, match="`code` must be"):
            status.Status(code, "")


def test_goes_through_pickle() -> None:
    error = pickle.loads(pickle.dumps(status.invalid("wrong")))
    assert (error.code, error.message) == ("INVALID_ARGUMENT", "wrong")
