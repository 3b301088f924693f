"""Classify, Regress and MultiInference, with TensorFlow Serving's own client classes and REST."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import input_pb2, predict_pb2

from tests.serving.server.conftest import Server
from tests.serving.server.inference.models import CLASSIFY, REGRESS
from tests.serving.server.inference.requests import (
    LABELS,
    SCORES,
    ask,
    check_spec,
    example,
    examples,
    labels,
    multi,
    numbers,
    scores,
)


def test_classify(server: Server) -> None:
    for name, signature, version in (("one", "", 2), ("one", "sizes", 2), ("two", "sizes", 1)):
        answer = ask(server, "Classify", name, signature)
        assert labels(answer.result) == LABELS
        assert scores(answer.result) == SCORES
        check_spec(answer.model_spec, name, version, signature or "serving_default")
    assert scores(ask(server, "Classify", "one", version=1).result) == [[11.0, -11], [38.0, -38]]


def test_labels_or_scores_alone(server: Server) -> None:
    result = ask(server, "Classify", "one", "labels").result
    assert (labels(result), scores(result)) == (LABELS, [[0.0, 0.0], [0.0, 0.0]])
    result = ask(server, "Classify", "one", "scores").result
    assert (labels(result), scores(result)) == ([["", ""], ["", ""]], SCORES)


def test_regress(server: Server) -> None:
    for name, signature, version in (("one", "line", 2), ("one", "flat", 2), ("two", "line", 1)):
        answer = ask(server, "Regress", name, signature)
        assert numbers(answer.result) == [2.5, 4.0]
        check_spec(answer.model_spec, name, version, signature)


def test_context_is_in_every_example(server: Server) -> None:
    given = input_pb2.Input()
    given.example_list_with_context.context.CopyFrom(example(x=4.0, other=1.0))
    given.example_list_with_context.examples.extend([example(x=1.0), example(), example(other=2.0)])
    assert numbers(ask(server, "Regress", "one", "line", given).result) == [2.5, 4.0, 4.0]


def test_requests_of_many_clients(server: Server) -> None:
    def answer(number: int) -> list[float]:
        given = examples(*range(number, number + number % 3 + 1))
        return numbers(ask(server, "Regress", "one", "line", given).result)

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(answer, range(64))):
            assert found == [2 + n / 2 for n in range(number, number + number % 3 + 1)]


@pytest.mark.parametrize(("name", "version"), [("one", 2), ("two", 1)])
def test_multi_inference(server: Server, name: str, version: int) -> None:
    request = multi((name, "line", REGRESS), (name, "sizes", CLASSIFY))
    line, sizes = server.predictions.MultiInference(request).results
    assert numbers(line.regression_result) == [2.5, 4.0]
    assert labels(sizes.classification_result) == LABELS
    assert scores(sizes.classification_result) == SCORES
    check_spec(line.model_spec, name, version, "line")
    check_spec(sizes.model_spec, name, version, "sizes")


def test_multi_inference_of_one_version(server: Server) -> None:
    request = multi(("one", "line", REGRESS), ("one", "", CLASSIFY))
    request.tasks[0].model_spec.version.value = 1
    line, sizes = server.predictions.MultiInference(request).results
    assert numbers(line.regression_result) == [11.0, 38.0]
    assert scores(sizes.classification_result) == [[11.0, -11.0], [38.0, -38.0]]
    check_spec(sizes.model_spec, "one", 1, "serving_default")


def test_rest(server: Server) -> None:
    rows = [{"x": 1.0}, {"x": [4.0]}]
    results = [[["small", 2.5], ["any", -2.5]], [["large", 4.0], ["any", -4.0]]]
    for path in ("one", "one/versions/2"):
        found = server.call(f"/v1/models/{path}:classify", {"examples": rows})
        assert found == (200, {"results": results})
    body = {"signature_name": "line", "context": {"x": 4.0}, "examples": [{"x": 1.0}, {}]}
    assert server.call("/v1/models/two:regress", body) == (200, {"results": [2.5, 4.0]})


def test_methods_are_counted(server: Server) -> None:
    ask(server, "Classify", "one")
    ask(server, "Regress", "one", "line")
    server.predictions.MultiInference(multi(("one", "", CLASSIFY)))
    server.call("/v1/models/one:classify", {"examples": [{"x": 1.0}]})
    server.call("/v1/models/one:regress", {"examples": [{"x": 1.0}], "signature_name": "line"})
    _, text = server.call("/monitoring/prometheus/metrics")
    for method, entrypoint in (
        ("Classify", "GRPC"),
        ("Regress", "GRPC"),
        ("MultiInference", "GRPC"),
        ("Classify", "REST"),
        ("Regress", "REST"),
    ):
        lines = [
            line
            for line in text.splitlines()
            if line.startswith(":tensorflow:serving:request_latency_count")
            and all(f'="{label}"' in line for label in ("one", method, entrypoint))
        ]
        assert sum(float(line.rpartition(" ")[2]) for line in lines) >= 1


def test_examples_go_to_the_saved_model_beside_an_onnx_file(
    server: Server, served_model: Any, pictures: np.ndarray
) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "beside"
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(pictures))
    logits = tf.make_ndarray(server.predictions.Predict(request).outputs["logits"])
    np.testing.assert_allclose(logits, served_model(pictures), atol=1e-4)
    assert labels(ask(server, "Classify", "beside", "sizes").result) == LABELS
    assert numbers(ask(server, "Regress", "beside", "line").result) == [2.5, 4.0]
    # Even where both files have a signature of that name.
    assert labels(ask(server, "Classify", "beside_default").result) == LABELS
