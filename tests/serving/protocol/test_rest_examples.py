"""Classify and regress bodies become examples, and results become JSON."""

import pytest
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from stn_tf.serving.protocol import rest_body, rest_examples
from stn_tf.serving.protocol.status import Status


def read(text: str) -> input_pb2.Input:
    message = rest_examples.example_input(rest_body.open_body(text.encode()))
    return input_pb2.Input.FromString(message.SerializeToString())


def test_examples() -> None:
    text = '{"examples": [{"x": [1.5, NaN], "n": 3, "on": true, "s": ["a", {"b64": "/w=="}]}]}'
    (example,) = read(text).example_list.examples
    features = example.features.feature
    assert features["x"].float_list.value[0] == 1.5
    assert features["n"].int64_list.value == [3]
    assert features["on"].int64_list.value == [1]
    assert features["s"].bytes_list.value == [b"a", b"\xff"]


def test_context() -> None:
    message = read('{"context": {"c": 1}, "examples": [{}, {"x": []}]}')
    assert message.example_list_with_context.context.features.feature["c"].int64_list.value == [1]
    assert len(message.example_list_with_context.examples) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "key 'examples' is expected"),
        ('{"examples": 1}', "to be a list/array"),
        ('{"examples": []}', "is an empty array"),
        ('{"examples": [1]}', "Example must be JSON object"),
        ('{"examples": [{"x": [1, 2.5]}]}', "feature: x expecting type: int64"),
        ('{"examples": [{"x": [null]}]}', "unexpected JSON type: Null"),
        ('{"examples": [{"x": [[1]]}]}', "unexpected JSON type: Array"),
        ('{"examples": [{"x": {"y": 1}}]}', "unexpected JSON type: Object"),
        ('{"examples": [{"x": 9223372036854775808}]}', "Only int64 is supported"),
        ('{"examples": [{"x": 1e39}]}', "does not fit a float"),
        ('{"examples": [{"\\ud800": 1}]}', "surrogate"),
        ('{"examples": [{}], "context": 1}', "Example must be JSON object"),
    ],
)
def test_wrong_bodies_are_refused(text: str, message: str) -> None:
    with pytest.raises(Status) as caught:
        read(text)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert message in str(caught.value)


def test_results() -> None:
    result = classification_pb2.ClassificationResult()
    classes = result.classifications.add()
    classes.classes.add(label="ant", score=0.1)
    classes.classes.add(label="bee", score=1)
    assert rest_examples.classify_answer(result) == b'{"results":[[["ant",0.1],["bee",1.0]]]}'
    numbers = regression_pb2.RegressionResult()
    numbers.regressions.add(value=0.3)
    assert rest_examples.regress_answer(numbers) == b'{"results":[0.3]}'
    with pytest.raises(Status, match="Cannot convert empty"):
        rest_examples.classify_answer(classification_pb2.ClassificationResult())
    with pytest.raises(Status, match="Cannot convert empty"):
        rest_examples.regress_answer(regression_pb2.RegressionResult())
