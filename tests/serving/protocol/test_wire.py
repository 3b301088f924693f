"""The reader of the wire and the generated classes never disagree."""

import random
import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow_serving.apis import predict_pb2

from stn_tf.serving.protocol import messages, wire
from stn_tf.serving.protocol.call import read_answer, read_call
from stn_tf.serving.protocol.status import Status
from tests.serving.protocol.wire_verdicts import check_request, check_response

DTYPES = ["float32", "float64", "uint8", "int32", "int64", "float16", "bool"]


def request(
    inputs: dict[str, np.ndarray],
    version: int | str | None = None,
    signature: str = "serving_default",
    output_filter: tuple[str, ...] = (),
    content: bool = False,
) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest(output_filter=output_filter)
    message.model_spec.name = "net"
    message.model_spec.signature_name = signature
    if isinstance(version, int):
        message.model_spec.version.value = version
    elif version is not None:
        message.model_spec.version_label = version
    for name, array in inputs.items():
        if content or array.dtype.kind == "O":
            message.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        else:
            message.inputs[name].CopyFrom(tf.make_tensor_proto(array.ravel().tolist(), array.dtype))
            message.inputs[name].tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    return message


def check(data: bytes) -> bool:
    """Holds the reader against TensorFlow Serving's own class; says whether it read `data`."""
    return check_request(data, predict_pb2.PredictRequest)


REQUESTS = [
    request({"images": np.arange(12, dtype="f").reshape(1, 2, 2, 3)}),
    request({"images": np.arange(12, dtype="f").reshape(1, 2, 2, 3)}, content=True),
    request({"a": np.ones(3, "f"), "b": np.ones((2, 1), "d")}, 7, "", ("x", "y")),
    request({"images": np.array([b"\xff\xd8", b""], object)}, "stable", "é"),
    request({"x": np.float32(3)}, 0),
    request({"x": np.arange(200, dtype="f")}, (1 << 63) - 1),
]


@pytest.mark.parametrize("message", REQUESTS)
def test_usual_requests_take_the_fast_path(message: predict_pb2.PredictRequest) -> None:
    assert check(message.SerializeToString())


def test_large_floats_are_a_view_of_the_request() -> None:
    images = np.random.default_rng(0).random((1, 224, 224, 3), np.float32)
    data = request({"images": images}).SerializeToString()
    call = wire.read_predict(data)
    array = call.inputs["images"]
    np.testing.assert_array_equal(array, images)
    address = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    assert 0 < array.__array_interface__["data"][0] - address < 100
    assert not array.flags.writeable


def test_unusual_requests_are_left_to_the_generated_classes() -> None:
    usual = REQUESTS[0].SerializeToString()
    nothing = predict_pb2.PredictRequest()
    nothing.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
    short = request({"x": np.ones(1, "f")})
    short.inputs["x"].tensor_shape.dim[0].size = 5
    for data in (
        b"",
        usual + usual,
        usual + b"\x38\x01",  # An unknown field.
        usual + b"\x0a\x00",  # A second model_spec.
        usual[:-1],
        usual.replace(b"\x0a\x03net", b"\x0a\x03n\xfft"),  # Not UTF-8.
        nothing.SerializeToString(),
        short.SerializeToString(),
        request({"x": np.ones(3, "f")}, -1).SerializeToString(),
        request({"x": np.zeros((0, 3), "f")}).SerializeToString(),
        b"\x8a\x00" + usual[1:],  # A tag in two bytes.
    ):
        assert wire.read_predict(data) is None


def test_unpacked_floats_are_read_by_the_generated_classes() -> None:
    floats = b"".join(b"\x2d" + struct.pack("<f", value) for value in (1, 2))
    tensor = b"\x08\x01\x12\x04\x12\x02\x08\x02" + floats
    entry = b"\x0a\x01x\x12" + bytes([len(tensor)]) + tensor
    data = b"\x0a\x05\x0a\x03net\x12" + bytes([len(entry)]) + entry
    assert wire.read_predict(data) is None
    np.testing.assert_array_equal(read_call(data).inputs["x"], [1, 2])


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.sampled_from(DTYPES).flatmap(
            lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_side=3))
        ),
        min_size=1,
        max_size=3,
    ),
    st.none() | st.integers(-(1 << 63), (1 << 63) - 1) | st.text(max_size=5),
    st.text(max_size=5),
    st.lists(st.text(max_size=3), max_size=2),
    st.booleans(),
)
def test_any_request_is_read_as_the_generated_classes_read_it(
    inputs: dict, version: int | str | None, signature: str, names: list[str], content: bool
) -> None:
    check(request(inputs, version, signature, tuple(names), content).SerializeToString())


def mutate(data: bytes, source: random.Random) -> bytes:
    for _ in range(source.randint(1, 3)):
        kind = source.randrange(6)
        at = source.randrange(len(data) + 1)
        to = min(len(data), at + source.randint(0, 24))
        if kind == 0 and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << source.randrange(8)]) + data[at + 1 :]
        elif kind == 1:
            data = data[:at]
        elif kind == 2:
            data = data[:to] + data[at:to] + data[to:]
        elif kind == 3:
            data = data[:at] + data[to:]
        elif kind == 4:
            data = data[:at] + source.randbytes(source.randint(1, 4)) + data[at:]
        else:
            data += source.choice(REQUESTS).SerializeToString()[:to]
    return data


@settings(max_examples=300)
@given(st.randoms(use_true_random=False), st.sampled_from(REQUESTS))
def test_damaged_requests_are_never_read_otherwise(
    source: random.Random, message: predict_pb2.PredictRequest
) -> None:
    check(mutate(message.SerializeToString(), source))


@given(st.binary(max_size=64))
def test_noise_is_never_read_otherwise(data: bytes) -> None:
    check(data)
    check(REQUESTS[0].SerializeToString() + data)


def test_every_prefix_and_every_flipped_bit() -> None:
    for message in REQUESTS[:5]:
        data = message.SerializeToString()
        read = sum(check(data[:end]) for end in range(len(data)))
        assert read < len(data)
        for bit in range(8 * len(data)):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            check(bytes(changed))


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.sampled_from([*DTYPES, "complex64", "complex128", "S3"]).flatmap(
            lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, min_side=0))
        ),
        max_size=3,
    ),
    st.none() | st.integers(0, (1 << 63) - 1),
    st.booleans(),
)
def test_answers_are_read_by_tensorflow_clients(
    outputs: dict[str, np.ndarray], version: int | None, typed: bool
) -> None:
    data = wire.write_predict("net", version, "serving_default", outputs, typed)
    answer = predict_pb2.PredictResponse.FromString(data)
    assert answer.model_spec.name == "net"
    assert answer.model_spec.signature_name == "serving_default"
    assert answer.model_spec.HasField("version") == (version is not None)
    assert answer.model_spec.version.value == (version or 0)
    assert answer.outputs.keys() == outputs.keys()
    for name, array in outputs.items():
        np.testing.assert_array_equal(tf.make_ndarray(answer.outputs[name]), array)
    ours = messages.PredictResponse.FromString(data)
    assert ours.ByteSize() == answer.ByteSize()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Missing ModelSpec"),
        (b"\x0a\x00", "ModelSpec has no name specified."),
        (b"\x0a", "Error parsing PredictRequest"),
    ],
)
def test_requests_without_a_model_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(Status, match=message):
        read_call(data)


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.sampled_from(DTYPES).flatmap(
            lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_side=3))
        ),
        max_size=3,
    ),
    st.tuples(st.none() | st.integers(0, (1 << 63) - 1), st.none())
    | st.tuples(st.none(), st.text(max_size=5)),
    st.text(max_size=5),
    st.booleans(),
)
def test_requests_of_the_client_are_read_by_the_published_classes(
    inputs: dict, choice: tuple, signature: str, typed: bool
) -> None:
    call = wire.PredictCall("net", *choice, signature, inputs, ("y", "é"))
    data = wire.write_request(call, typed)
    check(data)
    found = read_call(data)
    assert (found.name, found.version, found.label) == ("net", *choice)
    assert (found.signature, found.output_filter) == (signature, ("y", "é"))
    assert found.inputs.keys() == inputs.keys()
    for name, array in inputs.items():
        assert found.inputs[name].dtype == array.dtype
        np.testing.assert_array_equal(found.inputs[name], array)


def test_versions_that_no_server_has_are_an_error() -> None:
    with pytest.raises(ValueError, match="`version` must be in"):
        wire.write_predict("net", -1, "", {})


@settings(max_examples=300)
@given(st.randoms(use_true_random=False), st.booleans())
def test_damaged_answers_are_never_read_otherwise(source: random.Random, typed: bool) -> None:
    outputs = {"theta": np.arange(6, dtype="f").reshape(1, 2, 3), "n": np.arange(2)}
    usual = wire.write_predict("net", 3, "serving_default", outputs, typed)
    assert read_answer(usual).outputs.keys() == outputs.keys()
    check_response(usual, predict_pb2.PredictResponse)
    check_response(mutate(usual, source), predict_pb2.PredictResponse)


def test_damaged_answers_are_refused() -> None:
    with pytest.raises(Status, match="Error parsing PredictResponse"):
        read_answer(b"\x0a")
    assert read_answer(b"").outputs == {}
