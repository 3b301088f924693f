"""JSON bodies follow TensorFlow Serving's rules, and hostile ones are refused."""

import base64
import json
import re
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stn_tf.serving.protocol import rest_body
from stn_tf.serving.protocol.signature import PREDICT, Signature, TensorSpec
from stn_tf.serving.protocol.status import Status


def signature(**dtypes: str) -> Signature:
    specs = {name: TensorSpec(name, dtype, None) for name, dtype in dtypes.items()}
    return Signature(PREDICT, specs, {})


IMAGES = signature(images="float32")
PAIR = signature(a="int32", b="string")


def read(text: str | bytes, of: Signature = IMAGES) -> tuple[dict[str, np.ndarray], bool]:
    data = text.encode() if isinstance(text, str) else text
    return rest_body.predict_inputs(rest_body.open_body(data), of)


def refused(text: str | bytes, of: Signature = IMAGES) -> Status:
    with pytest.raises(Status) as caught:
        read(text, of)
    return caught.value


def test_rows() -> None:
    inputs, rows = read('{"instances": [[1, 2.5], [NaN, -Infinity]], "signature_name": "s"}')
    assert rows
    assert inputs["images"].dtype == np.float32
    np.testing.assert_array_equal(inputs["images"], [[1, 2.5], [np.nan, -np.inf]])


def test_rows_of_objects() -> None:
    inputs, rows = read('{"instances": [{"a": 1, "b": "x"}, {"b": {"b64": "/w"}, "a": 2}]}', PAIR)
    assert rows
    assert inputs["a"].tolist() == [1, 2]
    assert inputs["b"].tolist() == [b"x", b"\xff"]


def test_columns() -> None:
    inputs, rows = read('{"inputs": {"a": [[1], [2], [3]], "b": "é", "unused": 1}}', PAIR)
    assert not rows
    assert inputs["a"].tolist() == [[1], [2], [3]]
    assert inputs["b"].shape == ()
    assert inputs["b"].item() == "é".encode()
    assert read('{"inputs": 3}')[0]["images"].item() == 3
    assert read('{"inputs": {"images": []}}')[0]["images"].shape == (0,)
    assert read('{"inputs": {"b64": "AAE="}}', signature(x="string"))[0]["x"].item() == b"\0\1"


def test_the_name_of_the_signature() -> None:
    assert rest_body.open_body(b'{"signature_name": "crops"}').signature_name == "crops"
    assert rest_body.open_body(b"{}").signature_name == ""
    with pytest.raises(Status, match="must be a string"):
        rest_body.open_body(b'{"signature_name": 1}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "JSON Parse error: The document is empty"),
        ("{", "JSON Parse error: "),
        ("[]", "Is not object"),
        ("{}", "Missing 'inputs' or 'instances' key"),
        ('{"inputs": 1, "instances": [1]}', "only one of 'inputs' or 'instances'"),
        ('{"instances": 1}', "to be a list/array"),
        ('{"instances": []}', "No values in 'instances'"),
        ('{"instances": [[1], [1, 2]]}', "unexpected size: 2 at level: 1 expected size: 1"),
        ('{"instances": [[1], 2]}', "2 found at incorrect level: 2 in the JSON DOM"),
        ('{"instances": [1, [2]]}', "Encountered list at unexpected level: 1"),
        ('{"instances": [1, {"images": 2}]}', "got object at item 1"),
        ('{"instances": [{"images": 2}, 1]}', "got list at item 1"),
        ('{"instances": [{"images": 2, "more": 1}]}', "keys must be equal to: images"),
        ('{"instances": ["a"]}', 'JSON Value: "a" Type: String is not of expected type: float'),
        ('{"instances": [1, true]}', "Type: Bool is not of expected type: float"),
        ('{"instances": [null]}', "Type: Null is not of expected type: float"),
        ('{"instances": [1e39]}', "without loss of precision"),
        ('{"instances": [16777217]}', "without loss of precision"),
        ('{"instances": [' + "9" * 400 + "]}", "without loss of precision"),
        ('{"instances": [' + "9" * 5000 + "]}", "JSON Parse error: "),
        ('{"inputs": ' + "[" * 40 + "]" * 40 + "}", "nested more than 32 deep"),
        ('{"inputs": ' + "[" * 100_000, "nested too deep"),
        (b'{"inputs": "\xff"}', "JSON Parse error: "),
    ],
)
def test_wrong_bodies_are_refused(text: str | bytes, message: str) -> None:
    status = refused(text)
    assert (status.code, status.http) == ("INVALID_ARGUMENT", 400)
    assert message in str(status)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"instances": [1]}', "expecting list of objects as multiple input tensors"),
        ('{"instances": [{"a": 1}]}', "keys must be equal to: a,b"),
        ('{"inputs": [1]}', "expecting an object as multiple input tensors"),
        ('{"inputs": {"a": 1}}', "Missing named input: b in 'inputs' object."),
        ('{"inputs": {"a": 1.0, "b": ""}}', "JSON Value: 1.0 Type: Number is not of expected"),
        ('{"inputs": {"a": 2147483648, "b": ""}}', "is not of expected type: int32"),
        ('{"inputs": {"a": 1, "b": {"b64": "*"}}}', "Unable to base64 decode"),
        ('{"inputs": {"a": 1, "b": {"b65": ""}}}', "not formatted correctly for base64"),
        ('{"inputs": {"a": 1, "b": 2}}', "Type: Number is not of expected type: string"),
        ('{"inputs": {"a": 1, "b": "\\ud800"}}', "surrogate"),
    ],
)
def test_wrong_bodies_of_two_inputs_are_refused(text: str, message: str) -> None:
    assert message in str(refused(text, PAIR))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64"])
def test_types_without_json_are_not_implemented(dtype: str) -> None:
    status = refused('{"instances": [1]}', signature(x=dtype))
    assert (status.code, status.http) == ("UNIMPLEMENTED", 501)


def answer(rows: bool, **outputs: np.ndarray) -> str:
    return rest_body.predict_answer(outputs, rows).decode()


def test_answers() -> None:
    y = np.array([[1, 0.1], [np.nan, -np.inf]], np.float32)
    assert answer(True, y=y) == '{"predictions":[[1.0,0.1],[NaN,-Infinity]]}'
    assert answer(False, y=y) == '{"outputs":[[1.0,0.1],[NaN,-Infinity]]}'
    both = {"n": np.array([1, 1 << 62]), "ok": np.array([True, False])}
    assert json.loads(answer(True, **both)) == {
        "predictions": [{"n": 1, "ok": True}, {"n": 1 << 62, "ok": False}]
    }
    assert json.loads(answer(False, **both)) == {
        "outputs": {"n": [1, 1 << 62], "ok": [True, False]}
    }


def test_strings_and_bytes() -> None:
    text = np.array([b"caf\xc3\xa9", b"\xff"], object)
    coded = [{"b64": base64.b64encode(one).decode()} for one in text]
    assert json.loads(answer(False, crop_bytes=text)) == {"outputs": coded}
    assert json.loads(answer(False, names=text)) == {"outputs": ["café", coded[1]]}


def test_rows_need_one_batch_size() -> None:
    with pytest.raises(Status, match="Tensor name: b has inconsistent batch size: 3 expecting: 2"):
        answer(True, a=np.zeros(2), b=np.zeros(3))
    with pytest.raises(Status, match="Tensor name: a has no shape information"):
        answer(True, a=np.float64(1))
    with pytest.raises(Status, match="Failed to write JSON value for tensor type: half"):
        answer(True, a=np.zeros(2, np.float16))


def test_errors_are_json() -> None:
    assert json.loads(rest_body.error_body(Status("NOT_FOUND", 'no "é"'))) == {"error": 'no "é"'}


@given(
    st.sampled_from(
        [
            "float32",
            "float64",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint32",
            "uint64",
            "bool",
        ]
    ),
    st.data(),
)
def test_what_is_written_is_read(dtype: str, data: st.DataObject) -> None:
    array = data.draw(arrays.arrays(dtype, arrays.array_shapes(max_dims=3, max_side=4)))
    body = b'{"inputs"' + rest_body.predict_answer({"y": array}, False)[len('{"outputs"') :]
    again = read(body, signature(x=dtype))[0]["x"]
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, max_dims=3, max_side=4)))
def test_floats_print_with_the_fewest_digits(array: np.ndarray) -> None:
    text = rest_body.predict_answer({"y": array}, False).decode()
    printed = re.findall(r"[^][,{}:]+", text.removeprefix('{"outputs":'))
    for value, number in zip(array.ravel(), printed, strict=True):
        if np.isfinite(value):
            assert np.float32(number) == value
            assert np.signbit(float(number)) == np.signbit(value)
            digits = len(Decimal(number).normalize().as_tuple().digits)
            assert digits <= len(Decimal(str(value)).normalize().as_tuple().digits)
        else:
            assert number == {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]


@given(arrays.arrays(np.float32, arrays.array_shapes(max_dims=3, max_side=4)), st.booleans())
def test_rows_are_those_of_the_columns(array: np.ndarray, finite: bool) -> None:
    if finite:
        array = np.nan_to_num(array)
    outputs = {"y": array, "n": np.arange(len(array)), "s": np.array([b"a"] * len(array), object)}
    columns = json.loads(rest_body.predict_answer(outputs, False))["outputs"]
    rows = json.loads(rest_body.predict_answer(outputs, True))["predictions"]
    # By their text: NaN is not itself.
    again = {name: [row[name] for row in rows] for name in outputs}
    assert json.dumps(again) == json.dumps(columns)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["b64", "a", "b"]), inner, max_size=2)
        ),
    ),
    st.sampled_from(["inputs", "instances"]),
)
def test_any_json_is_read_or_refused(value: object, key: str) -> None:
    body = json.dumps({key: value}).encode()
    for of in (IMAGES, PAIR, signature(x="string"), signature(x="uint8"), signature(x="bool")):
        try:
            inputs, _ = read(body, of)
        except Status:
            continue
        assert inputs.keys() == of.inputs.keys()
