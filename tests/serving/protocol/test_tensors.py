"""Tensors are read and written as TensorFlow does it."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow.core.framework import tensor_pb2

from stn_tf.serving.protocol import messages, tensors
from stn_tf.serving.protocol.status import Status

DTYPES = [
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
    "complex64",
    "complex128",
]


def tensorflow_proto(proto: object) -> tensor_pb2.TensorProto:
    return tensor_pb2.TensorProto.FromString(proto.SerializeToString())


@given(st.data(), st.sampled_from(DTYPES), st.booleans())
def test_arrays_survive_the_round_trip_and_tensorflow_agrees(
    data: st.DataObject, dtype: str, content: bool
) -> None:
    shape = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    array = data.draw(arrays.arrays(np.dtype(dtype), shape))
    proto = tensors.to_proto(array, content)
    again = tensors.to_array(proto)
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)
    np.testing.assert_array_equal(tf.make_ndarray(tensorflow_proto(proto)), array)


@pytest.mark.parametrize("dtype", [*DTYPES, "bfloat16", "string"])
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0, 3)])
def test_reads_what_tensorflow_clients_send(dtype: str, shape: tuple[int, ...]) -> None:
    if dtype == "string":
        array = np.array([b"", b"\xff\x00", "é".encode()] * 2, object)[: int(np.prod(shape))]
        array = array.reshape(shape)
        kind = tf.string
    else:
        kind = tf.as_dtype(dtype)
        array = np.arange(np.prod(shape)).reshape(shape).astype(kind.as_numpy_dtype)
    for proto in (tf.make_tensor_proto(array, kind), tf.make_tensor_proto(array, kind, shape)):
        again = tensors.to_array(proto)
        assert tensors.array_dtype(again) == dtype
        assert again.shape == shape
        np.testing.assert_array_equal(again, array)


@pytest.mark.parametrize("dtype", DTYPES)
def test_few_values_are_filled_up_as_the_server_does(dtype: str) -> None:
    one = tf.make_tensor_proto(np.ones((), dtype), shape=(2, 3))
    np.testing.assert_array_equal(tensors.to_array(one), np.ones((2, 3), dtype))
    none = messages.TensorProto(dtype=tensors.dtype_number(dtype))
    none.tensor_shape.dim.add(size=3)
    parsed = tf.io.parse_tensor(none.SerializeToString(), tf.as_dtype(dtype))
    np.testing.assert_array_equal(tensors.to_array(none), parsed)


def test_the_last_value_repeats() -> None:
    proto = messages.TensorProto(dtype=1, float_val=[1, 2])
    proto.tensor_shape.dim.add(size=4)
    np.testing.assert_array_equal(tensors.to_array(proto), [1, 2, 2, 2])
    parsed = tf.io.parse_tensor(proto.SerializeToString(), tf.float32)
    np.testing.assert_array_equal(parsed, [1, 2, 2, 2])


def test_bfloat16_goes_both_ways() -> None:
    array = np.array([[0.5, -2], [np.inf, 3e38]], ml_dtypes.bfloat16)
    for content in (False, True):
        proto = tensors.to_proto(array, content)
        np.testing.assert_array_equal(tensors.to_array(proto), array)
        np.testing.assert_array_equal(tf.make_ndarray(tensorflow_proto(proto)), array)


def test_strings_in_tensor_content_are_read() -> None:
    content = bytes([3, 0, 0x81, 1]) + b"abc" + b"x" * 129
    proto = messages.TensorProto(dtype=7, tensor_content=content)
    proto.tensor_shape.dim.add(size=3)
    assert tensors.to_array(proto).tolist() == [b"abc", b"", b"x" * 129]
    for cut in range(1, len(content)):
        proto.tensor_content = content[:cut]
        with pytest.raises(Status, match="tensor_content"):
            tensors.to_array(proto)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"dtype": 1, "size": 2, "float_val": [1, 2, 3]}, "The shape holds 2 values, but 3 came."),
        ({"dtype": 1, "size": -1}, "Not a valid tensor shape: [-1]"),
        ({"dtype": 1, "size": 1 << 40}, "too few to repeat"),
        ({"dtype": 1, "size": 2, "tensor_content": b"1234567"}, "7 bytes, but the shape needs 8."),
        ({"dtype": 0, "size": 2}, "Tensors of type DT_INVALID are not supported."),
        ({"dtype": 20, "size": 2}, "Tensors of type DT_RESOURCE are not supported."),
        ({"dtype": 999, "size": 2}, "Tensors of type 999 are not supported."),
        ({"dtype": 4, "size": 1, "int_val": [256]}, "do not fit uint8"),
        ({"dtype": 19, "size": 1, "half_val": [-1]}, "do not fit float16"),
        ({"dtype": 8, "size": 1, "scomplex_val": [1, 2, 3]}, "holds pairs of numbers"),
    ],
)
def test_malformed_tensors_are_refused(text: dict, message: str) -> None:
    size = text.pop("size")
    proto = messages.TensorProto(**text)
    proto.tensor_shape.dim.add(size=size)
    with pytest.raises(Status) as caught:
        tensors.to_array(proto, "images")
    assert caught.value.code == "INVALID_ARGUMENT"
    assert str(caught.value).startswith("tensor parsing error: images: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("sizes", [[1 << 40, 1 << 40], [0, 1 << 60], [1] * 65, [1] * 255])
def test_impossible_shapes_are_refused(sizes: list[int]) -> None:
    proto = messages.TensorProto(dtype=1)
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    with pytest.raises(Status):
        tensors.to_array(proto)


def test_unknown_rank_is_refused() -> None:
    proto = messages.TensorProto(dtype=1)
    proto.tensor_shape.unknown_rank = True
    with pytest.raises(Status, match="Not a valid tensor shape"):
        tensors.to_array(proto)


def test_types_that_tensorflow_lacks_are_an_error() -> None:
    with pytest.raises(ValueError, match="`name` must be one of"):
        tensors.to_proto(np.zeros(2, "datetime64[s]"))
    with pytest.raises(ValueError, match="bytes or str"):
        tensors.to_proto(np.array([1, None], object))
