"""The gRPC side, with TensorFlow Serving's own client classes, for both engines."""

import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from stn_tf.serving.models.model_config import ModelConfig
from stn_tf.serving.models.store import ModelStore
from stn_tf.serving.protocol.status import Status
from stn_tf.serving.protocol.wire import PredictCall
from stn_tf.serving.server.metrics import Metrics
from stn_tf.serving.server.service import ModelService


def _request(
    pictures: np.ndarray, name: str = "small", **spec: object
) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    for key, value in spec.items():
        if key == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, key, value)
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(pictures))
    return request


def test_predict(server, served_model, pictures):
    answer = server.predictions.Predict(_request(pictures))
    assert set(answer.outputs) == {"logits", "probabilities", "class"}
    assert list(answer.outputs["logits"].float_val)  # What the bundled clients read.
    logits = tf.make_ndarray(answer.outputs["logits"])
    np.testing.assert_allclose(logits, served_model(pictures), atol=1e-4)
    assert tf.make_ndarray(answer.outputs["class"]).dtype == np.int64
    assert answer.model_spec.name == "small"
    assert answer.model_spec.version.value == 3
    assert answer.model_spec.signature_name == "serving_default"


def test_signatures_of_the_transformer(server, pictures):
    answer = server.predictions.Predict(_request(pictures, signature_name="localize"))
    assert tf.make_ndarray(answer.outputs["theta"]).shape == (3, 3)
    assert tf.make_ndarray(answer.outputs["corners"]).shape == (3, 4, 2)
    answer = server.predictions.Predict(_request(pictures, signature_name="rectify"))
    assert tf.make_ndarray(answer.outputs["crops"]).shape == (3, 5, 5, 1)


def test_output_filter(server, pictures):
    request = _request(pictures)
    request.output_filter.append("class")
    assert list(server.predictions.Predict(request).outputs) == ["class"]


def _bytes_request(pictures: np.ndarray) -> predict_pb2.PredictRequest:
    request = _request(pictures, signature_name="serving_bytes")
    request.inputs.clear()
    encoded = [tf.io.encode_png(np.uint8(picture * 255)).numpy() for picture in pictures]
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(encoded))
    return request


def test_encoded_images(server, served_model, pictures):
    answer = server.predictions.Predict(_bytes_request(pictures))
    rounded = np.uint8(pictures * 255).astype(np.float32) / 255
    logits = tf.make_ndarray(answer.outputs["logits"])
    np.testing.assert_allclose(logits, served_model(rounded), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (lambda r: r.ClearField("model_spec"), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            lambda r: r.model_spec.ClearField("name"),
            "INVALID_ARGUMENT",
            "ModelSpec has no name specified.",
        ),
        (
            lambda r: setattr(r.model_spec, "name", "other"),
            "NOT_FOUND",
            "Servable not found for request: Latest(other)",
        ),
        (
            lambda r: setattr(r.model_spec.version, "value", 9),
            "NOT_FOUND",
            "Servable not found for request: Specific(small, 9)",
        ),
        (
            lambda r: setattr(r.model_spec, "version_label", "stable"),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: stable",
        ),
        (
            lambda r: setattr(r.model_spec, "signature_name", "S"),
            "FAILED_PRECONDITION",
            'Serving signature key "S" not found.',
        ),
        (
            lambda r: r.inputs["more"].CopyFrom(tf.make_tensor_proto([1.0])),
            "INVALID_ARGUMENT",
            "input size does not match signature: 2!=1 len({images,more}) != len({images}). "
            "Sent extra: {more}. Missing but required: {}.",
        ),
        (
            lambda r: r.inputs["images"].CopyFrom(
                tf.make_tensor_proto(np.zeros((1, 9, 8, 1), int))
            ),
            "INVALID_ARGUMENT",
            "input images must be float32, but it is int64.",
        ),
        (
            lambda r: r.output_filter.append("A"),
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: A Outputs expected to be in the set "
            "{class,logits,probabilities}.",
        ),
        (
            lambda r: r.output_filter.extend(["class", "class"]),
            "INVALID_ARGUMENT",
            "duplicate output tensor alias: class",
        ),
    ],
)
def test_refusals_of_predict(server, pictures, change, code, message):
    request = _request(pictures)
    change(request)
    with pytest.raises(grpc.RpcError) as error:
        server.predictions.Predict(request)
    assert error.value.code().name == code
    assert error.value.details() == message
    # The server lives on.
    assert server.predictions.Predict(_request(pictures)).outputs


def test_bytes_that_are_no_message(server):
    call = server.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError) as error:
        call(b"\xff\xff\xff no message")
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_metadata(server):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "small"
    with pytest.raises(grpc.RpcError) as error:
        server.predictions.GetModelMetadata(request)
    expected = "GetModelMetadataRequest must specify at least one metadata_field"
    assert error.value.details() == expected
    request.metadata_field.append("signature_def")
    answer = server.predictions.GetModelMetadata(request)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    definition = found.signature_def["serving_default"]
    assert definition.method_name == "tensorflow/serving/predict"
    shape = [dim.size for dim in definition.inputs["images"].tensor_shape.dim]
    assert shape == [-1, 9, 8, 1]
    request.metadata_field.append("other")
    with pytest.raises(grpc.RpcError) as error:
        server.predictions.GetModelMetadata(request)
    assert error.value.details() == "Metadata field other is not supported"


def test_status(server):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "small"
    (entry,) = server.models.GetModelStatus(request).model_version_status
    assert (entry.version, entry.state) == (3, 30)
    assert entry.status.error_code == 0
    request.model_spec.name = "other"
    with pytest.raises(grpc.RpcError) as error:
        server.models.GetModelStatus(request)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND
    assert error.value.details() == "Could not find any versions of model other"


def test_deadline_that_has_passed(base_path, pictures):
    store = ModelStore()
    store.reload([ModelConfig("small", base_path)])
    service = ModelService(store, Metrics())
    call = PredictCall("small", None, None, "", {"images": pictures}, ())
    with pytest.raises(Status) as error:
        service.predict(call, deadline=time.monotonic() - 1e-3)
    assert error.value.code == "DEADLINE_EXCEEDED"
    assert service.predict(call, deadline=time.monotonic() + 60).version == 3
    store.close()


def test_reload(base_path, pictures):
    from tests.serving.server.conftest import start

    server = start(base_path)
    try:
        request = model_management_pb2.ReloadConfigRequest()
        config = request.config.model_config_list.config.add()
        config.name, config.base_path = "again", str(base_path)
        config.model_platform = "tensorflow"
        config.model_version_policy.specific.versions.extend([1, 2])
        config.version_labels["canary"] = 2
        request.metric_names.extend(["stn_tf_model_loads", "/tensorflow/serving/request_count"])
        server.predictions.Predict(_request(pictures))
        found = server.models.HandleReloadConfigRequest(request)
        assert {metric.name: metric.int64_value_increase for metric in found.metric} == {
            "stn_tf_model_loads{model_name=small}": 0,
            "stn_tf_model_loads{model_name=again}": 2,
            "/tensorflow/serving/request_count{model_name=small,status=OK}": 0,
        }
        answer = server.predictions.Predict(
            _request(pictures, name="again", version_label="canary")
        )
        assert answer.model_spec.version.value == 2
        with pytest.raises(grpc.RpcError):
            server.predictions.Predict(_request(pictures))
        twice = request.config.model_config_list.config.add()
        twice.CopyFrom(config)
        with pytest.raises(grpc.RpcError) as error:
            server.models.HandleReloadConfigRequest(request)
        expected = "Illegal to list model again multiple times in config list"
        assert error.value.details() == expected
    finally:
        assert server.stop() == 0
