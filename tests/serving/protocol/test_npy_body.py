"""Bodies in NumPy's format are read as NumPy reads them, and damaged ones are refused."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stn_tf.serving.protocol.npy_body import read_npy
from stn_tf.serving.protocol.status import Status


def npy(array: np.ndarray, version: tuple[int, int] = (1, 0)) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


def with_header(text: str, values: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text.encode() + values


@given(
    arrays.arrays(
        arrays.boolean_dtypes()
        | arrays.integer_dtypes()
        | arrays.unsigned_integer_dtypes()
        | arrays.floating_dtypes(endianness="?")
        | arrays.complex_number_dtypes(),
        arrays.array_shapes(min_dims=0, min_side=0),
    ),
    st.sampled_from([(1, 0), (2, 0), (3, 0)]),
    st.booleans(),
)
def test_arrays(array: np.ndarray, version: tuple[int, int], fortran: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    found = read_npy(npy(array, version))
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.dtype.isnative
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


def test_values_are_a_view_of_the_body() -> None:
    data = npy(np.ones((1, 224, 224, 3), np.float32))
    assert np.shares_memory(read_npy(data), np.frombuffer(data, np.uint8))


def test_other_writers_headers() -> None:
    text = "{'shape':(2,),'fortran_order':False,'descr':'<f4'}\n"
    assert read_npy(with_header(text, np.float32([1, 2]).tobytes())).tolist() == [1, 2]


def test_threads_read_at_once() -> None:
    data = npy(np.arange(3))
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: read_npy(data).sum() == 3, range(5000)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not begin like one"),
        (b"[1, 2]", "does not begin like one"),
        (b"\x93NUMPY\4\0", "does not begin like one"),
        (npy(np.ones(3))[:-1], "announces 24 bytes of values, but 23 came"),
        (npy(np.ones(3)) + b"\0", "announces 24 bytes of values, but 25 came"),
        (npy(np.ones(3))[:20], "its header is not one"),
        (npy(np.array(["a"])), "its header is not one"),
        (npy(np.zeros(1, [("a", "f4")])), "its header is not one"),
        (with_header("{'descr': '<f3', 'fortran_order': False, 'shape': ()}"), "<f3 is unknown"),
        (with_header("{'descr': '<f4', 'fortran_order': False}"), "its header is not one"),
        (
            with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({'9,' * 40})}}"),
            "its array is too large",
        ),
        (
            with_header(
                "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1" + "0" * 18 + ")}"
            ),
            "its array is too large",
        ),
    ],
)
def test_what_is_no_array_exception_raised(data: bytes, message: str) -> None:
    with pytest.raises(Status, match="The body is no array of NumPy") as caught:
        read_npy(data)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert message in str(caught.value)


@given(st.binary(max_size=80), st.integers(0, 200))
def test_noise_is_read_or_refused(noise: bytes, place: int) -> None:
    whole = npy(np.arange(6.0).reshape(2, 3))
    for data in (noise, b"\x93NUMPY" + noise, whole[:place] + noise + whole[place:]):
        try:
            array = read_npy(data)
        except Status:
            continue
        expected = np.load(io.BytesIO(data))
        np.testing.assert_array_equal(array, expected)
