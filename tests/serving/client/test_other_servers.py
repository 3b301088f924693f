"""Servers that speak no more than TensorFlow Serving's protocol."""

import http.server
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from stn_tf.serving.client import RequestError
from tests.serving.client.conftest import asker


def _metadata() -> get_model_metadata_pb2.GetModelMetadataResponse:
    definition = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
    for infos, name in ((definition.inputs, "x"), (definition.outputs, "y")):
        infos[name].name, infos[name].dtype = f"{name}:0", tf.float32.as_datatype_enum
        infos[name].tensor_shape.dim.add(size=-1)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signatures.signature_def["serving_default"].CopyFrom(definition)
    signatures.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].SetInParent()
    answer = get_model_metadata_pb2.GetModelMetadataResponse()
    answer.model_spec.name = "half"
    answer.model_spec.version.value = 5
    answer.metadata["signature_def"].Pack(signatures)
    return answer


class Half(prediction_service_pb2_grpc.PredictionServiceServicer):
    """With the published classes, and typed fields; nothing else, not even health."""

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        answer = predict_pb2.PredictResponse()
        answer.model_spec.name = request.model_spec.name
        answer.model_spec.version.value = 5
        values = tf.make_ndarray(request.inputs["x"]) / 2 + 2
        answer.outputs["y"].dtype = tf.float32.as_datatype_enum
        answer.outputs["y"].tensor_shape.dim.add(size=len(values))
        answer.outputs["y"].float_val.extend(values.tolist())
        return answer

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        return _metadata()

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        answer = classification_pb2.ClassificationResponse()
        for example in request.input.example_list_with_context.examples:
            (x,) = example.features.feature["x"].float_list.value
            classes = answer.result.classifications.add().classes
            classes.add(label="up", score=x)
            classes.add(label=request.model_spec.signature_name, score=1 - x)
        return answer

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        answer = regression_pb2.RegressionResponse()
        for example in request.input.example_list.examples:
            answer.result.regressions.add(value=len(example.features.feature["s"].bytes_list.value))
        return answer


@pytest.fixture
def grpc_target() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Half(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"grpc://127.0.0.1:{port}"
    server.stop(None).wait()


class Rest(http.server.BaseHTTPRequestHandler):
    """JSON alone, as tensorflow_model_server answers it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/v1/models/half/metadata":
            shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
            info = {"dtype": "DT_FLOAT", "tensor_shape": shape, "name": "x:0"}
            definition = {
                "inputs": {"x": info},
                "outputs": {"y": info},
                "method_name": "tensorflow/serving/predict",
                "defaults": {},
            }
            init = {"inputs": {}, "outputs": {}, "method_name": ""}
            signatures = {"serving_default": definition, "__saved_model_init_op": init}
            self._answer(
                200,
                {
                    "model_spec": {"name": "half", "signature_name": "", "version": "5"},
                    "metadata": {"signature_def": {"signature_def": signatures}},
                },
            )
        else:
            self._answer(400, {"error": f"Malformed request: GET {self.path}"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Content-Type"] == "application/json"
        if self.path == "/v1/models/half:predict":
            assert body["signature_name"] == "serving_default"
            self._answer(200, {"outputs": [x / 2 + 2 for x in body["inputs"]["x"]]})
        elif self.path == "/v1/models/half:classify":
            assert body["context"] == {"c": 1}
            name = body["signature_name"]
            scores = [float(np.ravel(row["x"])[0]) for row in body["examples"]]
            self._answer(200, {"results": [[["up", x], [name, 1 - x]] for x in scores]})
        elif self.path == "/v1/models/half:regress":
            self._answer(200, {"results": [float(len(row["s"])) for row in body["examples"]]})

    def _answer(self, status: int, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def rest_target() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rest) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["grpc_target", "rest_target"])
def ask(request: pytest.FixtureRequest, kind: str) -> Any:
    return asker(request.getfixturevalue(request.param), kind)


def test_predict(ask, request):
    answer = ask("predict", np.float32([1, np.nan, 3]), model="half")
    np.testing.assert_array_equal(answer.outputs["y"], np.float32([2.5, np.nan, 3.5]))
    assert answer.outputs["y"].dtype == np.float32
    assert answer.signature == "serving_default"
    # TensorFlow Serving's REST API does not say.
    asked_rest = request.node.callspec.params["ask"] == "rest_target"
    assert answer.version == (None if asked_rest else 5)


def test_metadata_leaves_out_what_cannot_be_asked_for(ask):
    found = ask("metadata", "half")
    assert (found.version, list(found.signatures)) == (5, ["serving_default"])


def test_classify(ask):
    rows = [{"x": 0.25}, {"x": np.float32([0.5])}]
    found = ask("classify", rows, model="half", signature="down", context={"c": 1})
    assert found == [[("up", 0.25), ("down", 0.75)], [("up", 0.5), ("down", 0.5)]]


def test_regress(ask):
    found = ask("regress", [{"s": [b"\xff", "ü"]}, {"s": ["a"]}], model="half")
    assert found.dtype == np.float32
    assert found.tolist() == [2, 1]


def test_features_that_no_example_holds(grpc_target, kind):
    with pytest.raises(RequestError, match="INVALID_ARGUMENT: Feature: x has element with unexp"):
        asker(grpc_target, kind)("classify", [{"x": None}], model="half")


def test_whether_it_is_ready_is_not_known(ask):
    assert ask("live") is True
    with pytest.raises(RequestError, match="does not say whether it is ready"):
        ask("ready")
