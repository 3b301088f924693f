"""Requests with examples, made with TensorFlow Serving's own classes, and what answers hold."""

from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    regression_pb2,
)

from tests.serving.server.conftest import Server


def example(**features: float) -> tf.train.Example:
    found = tf.train.Example()
    for name, value in features.items():
        found.features.feature[name].float_list.value.append(value)
    return found


def examples(*values: float) -> input_pb2.Input:
    found = input_pb2.Input()
    found.example_list.examples.extend(example(x=value) for value in values)
    return found


ONE_AND_FOUR = examples(1.0, 4.0)
LABELS = [["small", "any"], ["large", "any"]]
SCORES = [[2.5, -2.5], [4.0, -4.0]]


def ask(
    server: Server,
    rpc: str,
    name: str,
    signature: str = "",
    given: Any = ONE_AND_FOUR,
    version: int | None = None,
) -> Any:
    """The answer of `Classify` or `Regress`."""
    kind = {
        "Classify": classification_pb2.ClassificationRequest,
        "Regress": regression_pb2.RegressionRequest,
    }[rpc]
    request = kind(input=given)
    request.model_spec.name, request.model_spec.signature_name = name, signature
    if version is not None:
        request.model_spec.version.value = version
    return getattr(server.predictions, rpc)(request)


def labels(result: classification_pb2.ClassificationResult) -> list[list[str]]:
    return [[one.label for one in row.classes] for row in result.classifications]


def scores(result: classification_pb2.ClassificationResult) -> list[list[float]]:
    return [[one.score for one in row.classes] for row in result.classifications]


def numbers(result: regression_pb2.RegressionResult) -> list[float]:
    return [one.value for one in result.regressions]


def check_spec(spec: Any, name: str, version: int, signature: str) -> None:
    assert (spec.name, spec.version.value, spec.signature_name) == (name, version, signature)


def multi(*tasks: tuple[str, str, str], given: Any = ONE_AND_FOUR) -> Any:
    request = inference_pb2.MultiInferenceRequest(input=given)
    for name, signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = name, signature
    return request
