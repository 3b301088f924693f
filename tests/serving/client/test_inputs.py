"""What callers give becomes what the signature takes, or is refused."""

import numpy as np
import pytest

from stn_tf.errors import InputError
from stn_tf.serving.client.inputs import features, fit
from stn_tf.serving.protocol.signature import PREDICT, Signature, TensorSpec


def signature(*dtypes: str) -> Signature:
    names = "abc"
    specs = {n: TensorSpec(n, dtype, None) for n, dtype in zip(names, dtypes, strict=False)}
    return Signature(PREDICT, specs, {})


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.float64([1.5, 2]), "float32"),
        (np.float16([1.5]), "float64"),
        (np.float32([1.5]), "bfloat16"),
        ([1, 2], "float32"),
        ([1.5, 2], "float16"),
        (3, "float32"),
        ([[1, -2]], "int32"),
        (np.int64([255]), "uint8"),
        (np.uint8([7]), "int64"),
        ([True, False], "bool"),
        ([], "float32"),
    ],
)
def test_types_that_fit(value, dtype):
    array = fit(value, signature(dtype))["a"]
    assert array.dtype.name == dtype
    np.testing.assert_array_equal(array.astype(np.float64), np.asarray(value, np.float64))


@pytest.mark.parametrize("value", [[b"a\0", "ü"], np.array(["a\0", "ü"], object)])
def test_strings_keep_their_zeros(value):
    array = fit(value, signature("string"))["a"]
    assert array.tolist() == [b"a\0", "ü".encode()]
    assert fit(b"x", signature("string"))["a"].shape == ()


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (np.uint8([1]), "float32", r"`a` must be float32, but it is uint8\. Cast it"),
        ([1.5], "int64", "`a` must be int64, but it is float64"),
        ([True], "int32", "`a` must be int32, but it is bool"),
        ([1], "bool", "`a` must be bool, but it is int64"),
        (["x"], "float32", "`a` must be float32, but it is <U1"),
        (np.int64([256]), "uint8", "`a` holds values that do not fit uint8"),
        ([-1], "uint64", "`a` holds values that do not fit uint64"),
        ([[1], [2, 3]], "float32", "`a` is no array: "),
        ([1], "string", "`a` must hold strings"),
        ([[b"x"], [b"y", b"z"]], "string", "`a` must hold strings"),
    ],
)
def test_types_that_do_not(value, dtype, message):
    with pytest.raises(InputError, match=message):
        fit(value, signature(dtype))


def test_names():
    two = signature("float32", "int64")
    assert set(fit({"b": [1], "a": [1.0]}, two)) == {"a", "b"}
    with pytest.raises(InputError, match="must be a mapping: the signature takes a, b"):
        fit([1], two)
    with pytest.raises(InputError, match="must hold a, b, but it holds b, c"):
        fit({"b": 1, "c": 1}, two)
    with pytest.raises(InputError, match="must hold a, but it holds nothing"):
        fit({}, signature("float32"))


def test_features_are_as_json_has_them():
    example = {"x": np.float32([0.5, 2]), "n": np.int64(3), "s": "ü", "b": [b"\xff"], "t": (1, 2)}
    assert features(example) == {
        "x": [0.5, 2.0],
        "n": [3],
        "s": "ü",
        "b": [{"b64": "/w=="}],
        "t": [1, 2],
    }
    with pytest.raises(InputError, match="An example must map features"):
        features([1])  # type: ignore[arg-type]
