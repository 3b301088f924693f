"""The private classes are those of tensorflow-serving-api, field by field."""

import subprocess
import sys

import pytest
from google.protobuf import any_pb2, text_format, wrappers_pb2
from google.protobuf.descriptor import Descriptor
from tensorflow.core.example import example_pb2
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import error_codes_pb2, meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2,
    regression_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from stn_tf.serving.protocol import enums, messages, schema

ROOTS = {
    message.full_name: message
    for module in (
        any_pb2,
        classification_pb2,
        example_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        inference_pb2,
        input_pb2,
        meta_graph_pb2,
        model_management_pb2,
        model_pb2,
        model_server_config_pb2,
        predict_pb2,
        prediction_log_pb2,
        regression_pb2,
        tensor_pb2,
        wrappers_pb2,
    )
    for message in module.DESCRIPTOR.message_types_by_name.values()
}
OMITTED = {
    "tensorflow.serving.PredictionLog": {"session_run_log"},
    "tensorflow.TensorInfo.CompositeTensor": {"type_spec"},
}
# Without classes in the packages installed here: grpc's health.proto, and TensorFlow Serving's
# files of batching, monitoring and TLS.
UNPUBLISHED = (
    "grpc.health.v1.",
    "tensorflow.serving.BatchingParameters",
    "tensorflow.serving.MonitoringConfig",
    "tensorflow.serving.PrometheusConfig",
    "tensorflow.serving.SSLConfig",
)


def reachable() -> dict[str, Descriptor]:
    found: dict[str, Descriptor] = {}
    waiting = list(ROOTS.values())
    while waiting:
        message = waiting.pop()
        if message.full_name not in found:
            found[message.full_name] = message
            waiting += [field.message_type for field in message.fields if field.message_type]
            waiting += message.nested_types
    return found


REAL = reachable()


def all_messages() -> list[str]:
    names = [
        f"{package}.{line}"
        for package, text in schema.MESSAGES.items()
        for line in text.splitlines()
        if line and not line.startswith(" ")
    ]
    namespace = "tensorflow.serving.FileSystemStoragePathSourceConfig"  # Not a message by itself.
    return [name for name in names if not name.startswith(UNPUBLISHED) and name != namespace]


def described(message: Descriptor, omitted: set[str] | frozenset[str] = frozenset()) -> dict:
    return {
        field.name: (
            field.number,
            field.type,
            field.is_repeated,
            field.is_packed,
            field.has_presence,
            field.json_name,
            field.message_type and field.message_type.full_name,
            field.message_type and field.message_type.GetOptions().map_entry,
            field.enum_type and field.enum_type.full_name,
            field.containing_oneof and field.containing_oneof.name,
        )
        for field in message.fields
        if field.name not in omitted
    }


@pytest.mark.parametrize("name", all_messages())
def test_message_is_the_published_one(name: str) -> None:
    ours = messages.message_class(name).DESCRIPTOR
    assert ours is not REAL[name]
    assert described(ours) == described(REAL[name], OMITTED.get(name, frozenset()))


def test_enums_are_the_published_ones() -> None:
    real = {
        field.enum_type.full_name: field.enum_type
        for message in REAL.values()
        for field in message.fields
        if field.enum_type
    }
    for package, declared in enums.ENUMS.items():
        for name, values in declared.items():
            if package != "grpc.health.v1":
                assert {v.name: v.number for v in real[f"{package}.{name}"].values} == values
    assert dict(types_pb2.DataType.items()) == messages.DataType
    assert dict(error_codes_pb2.Code.items()).items() >= enums.CODES.items()


@pytest.mark.parametrize(
    ("module", "service"),
    [(prediction_service_pb2, "PredictionService"), (model_service_pb2, "ModelService")],
)
def test_services_are_the_published_ones(module: object, service: str) -> None:
    real = module.DESCRIPTOR.services_by_name[service]
    ours = messages.methods(f"tensorflow.serving.{service}")
    assert {
        name: (a.DESCRIPTOR.full_name, b.DESCRIPTOR.full_name) for name, (a, b) in ours.items()
    } == {
        method.name: (method.input_type.full_name, method.output_type.full_name)
        for method in real.methods
    }


def test_bytes_go_both_ways_with_the_fields_that_are_left_out() -> None:
    log = prediction_log_pb2.PredictionLog()
    log.log_metadata.model_spec.version.value = 3
    log.session_run_log.request.fetch.append("logits")
    ours = messages.PredictionLog.FromString(log.SerializeToString(deterministic=True))
    assert ours.log_metadata.model_spec.version.value == 3
    assert prediction_log_pb2.PredictionLog.FromString(ours.SerializeToString()) == log


def test_configuration_is_read_as_the_published_classes_read_it() -> None:
    text = """model_config_list { config { name: "a" base_path: "/m" model_platform: "tensorflow"
        model_version_policy { specific { versions: 2 versions: 5 } }
        version_labels { key: "stable" value: 2 } } }"""
    ours = text_format.Parse(text, messages.ModelServerConfig())
    real = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    assert ours.SerializeToString(deterministic=True) == real.SerializeToString(deterministic=True)


def test_files_of_batching_monitoring_and_tls_are_read() -> None:
    batching = text_format.Parse(
        "max_batch_size { value: 128 } allowed_batch_sizes: [1, 128] "
        "enable_large_batch_splitting { value: true }",
        messages.BatchingParameters(),
    )
    assert batching.max_batch_size.value == 128
    assert not batching.HasField("batch_timeout_micros")
    monitoring = text_format.Parse(
        'prometheus_config { enable: true path: "/metrics" }', messages.MonitoringConfig()
    )
    assert monitoring.prometheus_config.path == "/metrics"
    tls = text_format.Parse('server_key: "k" client_verify: false', messages.SSLConfig())
    assert tls.server_key == "k"


def test_health_has_the_numbers_of_grpc() -> None:
    answer = messages.HealthCheckResponse(status=messages.ServingStatus["NOT_SERVING"])
    assert answer.SerializeToString() == b"\x08\x02"
    assert messages.HealthCheckRequest(service="net").SerializeToString() == b"\x0a\x03net"


@pytest.mark.parametrize(
    "module", ["messages", "tensors", "call", "rest_body", "rest_examples", "rest_messages"]
)
def test_import_needs_no_tensorflow(module: str) -> None:
    code = (
        f"import sys, stn_tf.serving.protocol.{module}; "
        "print({'tensorflow', 'tensorflow_serving', 'keras', 'grpc'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()", done.stderr
