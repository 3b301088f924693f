"""Bodies that are one array of numbers are read fast, and never otherwise than the obvious way."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stn_tf.serving.protocol import number_body
from tests.serving.protocol.obvious_rest import agree

# Inner lists of all kinds that numbers come in.
NUMBERS = [
    "[[1, 2.5], [3e-2, -4.0E+1]]",
    "[[[0], [-0], [-0.0]]]",
    "[ 16777215 ,\n\t-16777215 , 1e-400, 5e-324 ]",
    "[[255, 0], [1, 2], [3, 4]]",
    "[0.1, 0.30000001192092896, 1.17549435e-38, 3.4e5]",
]
BODIES = [
    *('{"instances": ' + numbers + "}" for numbers in NUMBERS),
    *('{"signature_name": "ee-1.", "inputs": ' + numbers + "}" for numbers in NUMBERS),
    '{"inputs": {"x": [[1.5, 2], [3, 4]], "more": 1}, "other": {"a": "b"}}',
    '{"inputs": [3.4028235e38, 1]}',
    '{"instances":[{"x":[1,2]},{"x":[3,4]}]}',
    '{"instances":[{"x":1.5,"y":{"b64":"/w=="}},{"y":"a","x":2}]}',
]


@pytest.mark.parametrize("text", BODIES)
def test_usual_bodies(text: str) -> None:
    assert agree(text.encode())


@pytest.mark.parametrize("text", BODIES[:-3])
def test_arrays_of_numbers_take_the_fast_path(text: str) -> None:
    fields = number_body.parse(text.encode())
    assert number_body.read(fields, text.encode(), "x", "float64") is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "{}",
        '{"instances": [1, NaN, Infinity]}',
        '{"instances": [[1], [2, 3]]}',
        '{"instances": [[1], 2]}',
        '{"instances": [1, [2]]}',
        '{"instances": [[], [1]]}',
        '{"instances": [[1], [], [2]]}',
        '{"instances": []}',
        '{"inputs": [[], []]}',
        '{"inputs": 7}',
        '{"inputs": [1, true]}',
        '{"inputs": [1, "2"]}',
        '{"inputs": [1, null]}',
        '{"inputs": [16777216]}',
        '{"inputs": [9007199254740993, -9007199254740993]}',
        '{"inputs": [18446744073709551615]}',
        '{"inputs": [18446744073709551616]}',
        '{"inputs": [-9223372036854775809]}',
        '{"inputs": [1e39, 1e400]}',
        '{"inputs": [01]}',
        '{"inputs": [1.]}',
        '{"inputs": [1,]}',
        '{"inputs": [1], "inputs": [2]}',
        '{"inputs": {"x": [1], "x": [2]}}',
        '{"inputs": {"x\\u0000": [1], "x": [2]}}',
        '{"inputs": [1], "instances": [2]}',
        '{"inputs": [1], "other": [[2]]}',
        '{"inputs": {"y": [1]}}',
        '{"inputs": [1], "signature_name": "]"}',
        '{"signature_name": "[", "inputs": [1]}',
        '{"inputs": [1], "signature_name": 3}',
        '{"inputs": [1], "a": "\\ud800"}',
        '\ufeff{"inputs": [1]}',
        '{"inputs": [1]}\0',
        '{"inputs": ' + "[" * 32 + "1" + "]" * 32 + "}",
        '{"inputs": ' + "[" * 33 + "1" + "]" * 33 + "}",
        '{"inputs": ' + "[" * 1500 + "1" + "]" * 1500 + "}",
        json.dumps({"inputs": [1], **{str(n): n for n in range(99)}}),
    ],
)
def test_unusual_bodies(text: str) -> None:
    agree(text.encode())


def test_other_encodings() -> None:
    for encoding in ("utf-16", "utf-32-le", "latin-1"):
        agree('{"inputs": [1], "é": 1}'.encode(encoding))


JSON = st.recursive(
    st.sampled_from([0, 1.0, -1, 255, 256, 2**24, 2**53, 2**63, 2**64, -(2**63), 1e39, True, None])
    | st.integers()
    | st.floats()
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["b64", "x", "y", "é\0"]), inner, max_size=2)
    ),
)


@given(
    st.dictionaries(st.sampled_from(["inputs", "instances", "signature_name", "a"]), JSON),
    st.booleans(),
)
def test_any_json(content: dict, escaped: bool) -> None:
    agree(json.dumps(content, ensure_ascii=escaped).encode("utf-8", "surrogatepass"))


def mutate(data: bytes, source: random.Random) -> bytes:
    for _ in range(source.randint(1, 3)):
        at = source.randrange(len(data) + 1)
        to = min(len(data), at + source.randint(0, 6))
        data = source.choice(
            [
                data[:at] + data[to:],
                data[:to] + data[at:],
                data[:at] + bytes([source.choice(b'[]{},:".-+eE019 "\\\xff')]) + data[at:],
                data[:at] + source.choice([b"[1]", b'"x":', b"NaN", b"1e999", b"{}"]) + data[to:],
            ]
        )
    return data


@settings(max_examples=300)
@given(st.randoms(use_true_random=False), st.sampled_from(BODIES))
def test_damaged_bodies(source: random.Random, text: str) -> None:
    agree(mutate(text.encode(), source))
