"""Classify, Regress and MultiInference, with TensorFlow Serving's own client classes and REST."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    predict_pb2,
    regression_pb2,
)

from tests.serving.server.conftest import Server
from tests.serving.server.example_models import (
    CLASSIFY,
    PREDICT,
    REGRESS,
    tensorflow_1_model,
    tensorflow_2_model,
)
from tests.serving.server.running import running


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, base_path: Path) -> Path:
    """`one`, of TensorFlow 1, in two versions; `two`, of TensorFlow 2; ONNX files beside both."""
    out = tmp_path_factory.mktemp("examples")
    tensorflow_1_model(out / "one" / "1", slope=9.0)
    tensorflow_1_model(out / "one" / "2", slope=0.5)
    tensorflow_2_model(out / "two" / "1", slope=0.5)
    for name, default in (("beside", PREDICT), ("beside_default", CLASSIFY)):
        tensorflow_1_model(out / name / "1", slope=0.5, default=default)
        shutil.copy(base_path / "1" / "model.onnx", out / name / "1")
    policy = "model_version_policy { all {} }"
    models = " ".join(
        f'config {{ name: "{folder.name}" base_path: "{folder}" {policy} }}'
        for folder in out.iterdir()
    )
    (out / "models.config").write_text(f"model_config_list {{ {models} }}")
    return out / "models.config"


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "batched"])
def server(request: pytest.FixtureRequest, config: Path) -> Iterator[Server]:
    batching = ["--enable_batching"] * request.param
    with running("--model_config_file", config, *batching) as found:
        yield found


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
    server: Server, rpc: str, name: str, signature: str = "", given: Any = ONE_AND_FOUR, **spec: Any
) -> Any:
    """The answer of `Classify` or `Regress`."""
    kind = {
        "Classify": classification_pb2.ClassificationRequest,
        "Regress": regression_pb2.RegressionRequest,
    }[rpc]
    request = kind(input=given)
    request.model_spec.name, request.model_spec.signature_name = name, signature
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    return getattr(server.predictions, rpc)(request)


def labels(result: classification_pb2.ClassificationResult) -> list[list[str]]:
    return [[one.label for one in row.classes] for row in result.classifications]


def scores(result: classification_pb2.ClassificationResult) -> list[list[float]]:
    return [[one.score for one in row.classes] for row in result.classifications]


def numbers(result: regression_pb2.RegressionResult) -> list[float]:
    return [one.value for one in result.regressions]


def check_spec(spec: Any, name: str, version: int, signature: str) -> None:
    assert (spec.name, spec.version.value, spec.signature_name) == (name, version, signature)


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


def multi(*tasks: tuple[str, str, str], given: Any = ONE_AND_FOUR) -> Any:
    request = inference_pb2.MultiInferenceRequest(input=given)
    for name, signature, method in tasks:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = name, signature
    return request


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


WITHOUT_X = input_pb2.Input()
WITHOUT_X.example_list.examples.extend([example(other=1.0)])
WITHOUT_EXAMPLES = input_pb2.Input()
WITHOUT_EXAMPLES.example_list_with_context.context.CopyFrom(example(x=1.0))
DEPTH = "Expected Tensor shape: [batch_size num_classes] but got [2]"
OUTPUT_SHAPE = "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "


@pytest.mark.parametrize(
    ("rpc", "signature", "code", "message"),
    [
        ("Classify", "S", "INVALID_ARGUMENT", "No signature was found with the name: S"),
        ("Regress", "S", "INVALID_ARGUMENT", "No signature was found with the name: S"),
        (
            "Classify",
            "line",
            "INVALID_ARGUMENT",
            f"Expected classification signature method_name to be {CLASSIFY}. Was: {REGRESS}",
        ),
        (
            "Regress",
            "",
            "INVALID_ARGUMENT",
            f"Expected regression signature method_name to be {REGRESS}. Was: {CLASSIFY}",
        ),
        (
            "Classify",
            "plain",
            "FAILED_PRECONDITION",
            "No classification inputs found in SignatureDef: inputs {x}, outputs {y}",
        ),
        (
            "Classify",
            "other_input",
            "FAILED_PRECONDITION",
            "No classification inputs found in SignatureDef: inputs {x}, outputs {scores}",
        ),
        ("Regress", "two_inputs", "INVALID_ARGUMENT", "Expected one input Tensor."),
        (
            "Classify",
            "three",
            "INVALID_ARGUMENT",
            "Expected one or two output Tensors, found 3",
        ),
        (
            "Classify",
            "neither",
            "FAILED_PRECONDITION",
            'Expected classification signature outputs to contain at least one of "classes" or '
            '"scores". Signature was: inputs {inputs}, outputs {y}',
        ),
        ("Regress", "two", "INVALID_ARGUMENT", "Expected one output Tensor."),
        (
            "Regress",
            "unnamed",
            "FAILED_PRECONDITION",
            "No regression outputs found in SignatureDef: inputs {inputs}, outputs {y}",
        ),
        ("Classify", "vector", "INVALID_ARGUMENT", DEPTH),
        (
            "Classify",
            "numbers",
            "INVALID_ARGUMENT",
            "Expected classes Tensor of DT_STRING. Got: DT_FLOAT",
        ),
        (
            "Classify",
            "doubles",
            "INVALID_ARGUMENT",
            "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE",
        ),
        (
            "Classify",
            "fewer",
            "INVALID_ARGUMENT",
            "Expected scores output batch size of 2. Got: 1",
        ),
        (
            "Classify",
            "fewer_labels",
            "INVALID_ARGUMENT",
            "Expected classes output batch size of 2. Got: 1",
        ),
        (
            "Classify",
            "wider",
            "INVALID_ARGUMENT",
            "Tensors class and score should match in dim_size(1). Got 2 vs. 1",
        ),
        (
            "Classify",
            "no_text",
            "INVALID_ARGUMENT",
            "Expected classes Tensor of UTF-8 strings. Got: b'\\xff'",
        ),
        ("Regress", "matrix", "INVALID_ARGUMENT", OUTPUT_SHAPE + "[2,2]"),
        (
            "Regress",
            "fewer_numbers",
            "INVALID_ARGUMENT",
            "Input batch size did not match output batch size: 2 vs. 1",
        ),
        (
            "Regress",
            "double",
            "INVALID_ARGUMENT",
            "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE",
        ),
    ],
)
def test_refused_signatures(
    server: Server, rpc: str, signature: str, code: str, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as error:
        ask(server, rpc, "one", signature)
    assert error.value.code().name == code
    assert error.value.details() == message
    body = {"signature_name": signature, "examples": [{"x": 1.0}, {"x": 4.0}]}
    found = server.call(f"/v1/models/one:{rpc.lower()}", body)
    assert found == (400, {"error": message})


@pytest.mark.parametrize("given", [input_pb2.Input(), examples(), WITHOUT_EXAMPLES])
def test_no_examples(server: Server, given: input_pb2.Input) -> None:
    requests = (
        lambda: ask(server, "Classify", "one", given=given),
        lambda: ask(server, "Regress", "one", "line", given),
        lambda: server.predictions.MultiInference(multi(("one", "", CLASSIFY), given=given)),
    )
    for request in requests:
        with pytest.raises(grpc.RpcError) as error:
            request()
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert error.value.details() == "Input is empty."


def test_examples_without_a_feature(server: Server) -> None:
    with pytest.raises(grpc.RpcError) as error:
        ask(server, "Classify", "one", given=WITHOUT_X)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "Feature: x" in error.value.details()
    assert labels(ask(server, "Classify", "one").result) == LABELS


@pytest.mark.parametrize("rpc", ["Classify", "Regress"])
def test_models_that_are_not_there(server: Server, rpc: str) -> None:
    for spec, code, message in (
        (("other",), "NOT_FOUND", "Servable not found for request: Latest(other)"),
        (("",), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    ):
        with pytest.raises(grpc.RpcError) as error:
            ask(server, rpc, *spec)
        assert (error.value.code().name, error.value.details()) == (code, message)
    with pytest.raises(grpc.RpcError, match=r"Specific\(one, 7\)"):
        ask(server, rpc, "one", version=7)
    call = server.channel.unary_unary(f"/tensorflow.serving.PredictionService/{rpc}")
    with pytest.raises(grpc.RpcError) as error:
        call(b"")
    assert (error.value.code().name, error.value.details()) == (
        "INVALID_ARGUMENT",
        "Missing ModelSpec",
    )


@pytest.mark.parametrize(
    ("tasks", "code", "message"),
    [
        ((), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ((("", "", CLASSIFY),), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (
            (("other", "", CLASSIFY),),
            "NOT_FOUND",
            "Servable not found for request: Latest(other)",
        ),
        (
            (("one", "", CLASSIFY), ("", "line", REGRESS)),
            "INVALID_ARGUMENT",
            "Found ModelSpec with an empty model name.",
        ),
        (
            (("one", "", CLASSIFY), ("two", "line", REGRESS)),
            "INVALID_ARGUMENT",
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            (("one", "S", CLASSIFY),),
            "INVALID_ARGUMENT",
            "Requested signature not found in model graph: S",
        ),
        (
            (("one", "", CLASSIFY), ("one", "serving_default", CLASSIFY)),
            "INVALID_ARGUMENT",
            "Duplicate evaluation of signature: serving_default",
        ),
        (
            (("one", "plain", PREDICT),),
            "UNIMPLEMENTED",
            f"Unsupported signature method_name: {PREDICT}",
        ),
        (
            (("one", "sizes", CLASSIFY), ("one", "labels", REGRESS)),
            "INVALID_ARGUMENT",
            f"Expected regression signature method_name to be {REGRESS}. Was: {CLASSIFY}",
        ),
    ],
)
def test_refused_multi_inference(
    server: Server, tasks: tuple[tuple[str, str, str], ...], code: str, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as error:
        server.predictions.MultiInference(multi(*tasks))
    assert (error.value.code().name, error.value.details()) == (code, message)


def test_rest(server: Server) -> None:
    rows = [{"x": 1.0}, {"x": [4.0]}]
    results = [[["small", 2.5], ["any", -2.5]], [["large", 4.0], ["any", -4.0]]]
    for path in ("one", "one/versions/2"):
        found = server.call(f"/v1/models/{path}:classify", {"examples": rows})
        assert found == (200, {"results": results})
    body = {"signature_name": "line", "context": {"x": 4.0}, "examples": [{"x": 1.0}, {}]}
    assert server.call("/v1/models/two:regress", body) == (200, {"results": [2.5, 4.0]})


@pytest.mark.parametrize("verb", ["classify", "regress"])
@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("other", {"examples": [{}]}, 404, "Servable not found for request: Latest(other)"),
        ("one/versions/7", {"examples": [{}]}, 404, "Servable not found for request: Specific"),
        ("one/labels/best", {"examples": [{}]}, 400, "Unrecognized servable version label: best"),
        ("one", {"examples": []}, 400, "'examples' value is an empty array"),
        ("one", {"instances": [{}]}, 400, "key 'examples' is expected and was not found"),
        ("one", b"{", 400, "JSON Parse error"),
    ],
)
def test_refused_bodies(
    server: Server, verb: str, path: str, body: Any, status: int, message: str
) -> None:
    found, answer = server.call(f"/v1/models/{path}:{verb}", body)
    assert found == status
    assert message in answer["error"]


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
