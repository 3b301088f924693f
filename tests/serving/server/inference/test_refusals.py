"""What Classify, Regress and MultiInference refuse, in TensorFlow Serving's words."""

from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import input_pb2

from tests.serving.server.conftest import Server
from tests.serving.server.inference.models import CLASSIFY, PREDICT, REGRESS
from tests.serving.server.inference.requests import LABELS, ask, example, examples, labels, multi

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
