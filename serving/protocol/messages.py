"""The message classes of TensorFlow Serving's API, without TensorFlow.

They have the full names and numbers of `tensorflow_serving.apis`, in a descriptor pool of their
own: both may live in one process. Equal messages have equal bytes; a message of one is not an
instance of the other.
"""

import re
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, message_factory, wrappers_pb2
from google.protobuf.descriptor_pool import DescriptorPool

from stn_tf.serving.protocol import enums, schema

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    name: getattr(_Field, f"TYPE_{name.upper()}")
    for name in ["bool", "bytes", "double", "float", "int32", "int64", "string", "uint32", "uint64"]
}
_FIELD = re.compile(
    r"(?:(repeated|optional) )?(?:map<(\w+), ([\w.]+)>|([\w.]+)) (\w+) = (\d+)(?: @(\w+))?( json)?"
)


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    files: list[str] = []
    for known in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
        files.append(known.DESCRIPTOR.name)
    for package, text in schema.MESSAGES.items():
        file = descriptor_pb2.FileDescriptorProto(
            name=f"stn_tf/{package}.proto", package=package, syntax="proto3", dependency=files
        )
        found: dict[str, Any] = {}
        owner = ""
        for line in text.splitlines():
            if line.startswith(" "):
                _add_field(found[owner], package, line.strip())
            elif line:
                owner = line
                found[owner] = _place(file, found, owner).add(name=owner.rpartition(".")[2])
        for message in found.values():
            _add_presence(message)
        for path, values in enums.ENUMS.get(package, {}).items():
            parent, _, name = path.rpartition(".")
            enum = (found[parent] if parent else file).enum_type.add(name=name)
            for value, number in values.items():
                enum.value.add(name=value, number=number)
        pool.AddSerializedFile(file.SerializeToString())
        files.append(file.name)
    return pool


def _place(file: Any, found: dict[str, Any], path: str) -> Any:
    parent = path.rpartition(".")[0]
    return found[parent].nested_type if parent else file.message_type


def _add_field(message: Any, package: str, line: str) -> None:
    match = _FIELD.fullmatch(line)
    assert match, line
    label, key, value, kind, name, number, oneof, json = match.groups()
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if key:
        entry = message.nested_type.add(name=name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        for part, of, index in (("key", key, 1), ("value", value, 2)):
            _set_type(entry.field.add(name=part, number=index, label=_Field.LABEL_OPTIONAL), of)
        field.label = _Field.LABEL_REPEATED
        field.type_name = entry.name
        return
    _set_type(field, kind)
    if label == "repeated":
        field.label = _Field.LABEL_REPEATED
    if json:
        field.json_name = name
    field.proto3_optional = label == "optional"
    if oneof:
        names = [one.name for one in message.oneof_decl]
        if oneof not in names:
            message.oneof_decl.add(name=oneof)
            names.append(oneof)
        field.oneof_index = names.index(oneof)


def _set_type(field: Any, name: str) -> None:
    if name in _SCALARS:
        field.type = _SCALARS[name]
    else:
        field.type_name = name  # The pool finds out whether it is a message or an enum.


def _add_presence(message: Any) -> None:
    """Gives each `optional` field the one-field oneof that protoc makes for it."""
    for field in message.field:
        if field.proto3_optional:
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{field.name}")


POOL = _pool()


def message_class(full_name: str) -> Any:
    """Returns the class of a message, such as `"tensorflow.serving.PredictRequest"`."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(full_name))


def _enum(full_name: str) -> dict[str, int]:
    return {value.name: value.number for value in POOL.FindEnumTypeByName(full_name).values}


AnyMessage = message_class("google.protobuf.Any")
Int64Value = message_class("google.protobuf.Int64Value")
TensorShapeProto = message_class("tensorflow.TensorShapeProto")
TensorProto = message_class("tensorflow.TensorProto")
ResourceHandleProto = message_class("tensorflow.ResourceHandleProto")
VariantTensorDataProto = message_class("tensorflow.VariantTensorDataProto")
TensorInfo = message_class("tensorflow.TensorInfo")
SignatureDef = message_class("tensorflow.SignatureDef")
Example = message_class("tensorflow.Example")
Features = message_class("tensorflow.Features")
Feature = message_class("tensorflow.Feature")
BytesList = message_class("tensorflow.BytesList")
FloatList = message_class("tensorflow.FloatList")
Int64List = message_class("tensorflow.Int64List")
ModelSpec = message_class("tensorflow.serving.ModelSpec")
PredictRequest = message_class("tensorflow.serving.PredictRequest")
PredictStreamedOptions = message_class("tensorflow.serving.PredictStreamedOptions")
PredictResponse = message_class("tensorflow.serving.PredictResponse")
Input = message_class("tensorflow.serving.Input")
ExampleList = message_class("tensorflow.serving.ExampleList")
ExampleListWithContext = message_class("tensorflow.serving.ExampleListWithContext")
Class = message_class("tensorflow.serving.Class")
Classifications = message_class("tensorflow.serving.Classifications")
ClassificationResult = message_class("tensorflow.serving.ClassificationResult")
ClassificationRequest = message_class("tensorflow.serving.ClassificationRequest")
ClassificationResponse = message_class("tensorflow.serving.ClassificationResponse")
Regression = message_class("tensorflow.serving.Regression")
RegressionResult = message_class("tensorflow.serving.RegressionResult")
RegressionRequest = message_class("tensorflow.serving.RegressionRequest")
RegressionResponse = message_class("tensorflow.serving.RegressionResponse")
InferenceTask = message_class("tensorflow.serving.InferenceTask")
InferenceResult = message_class("tensorflow.serving.InferenceResult")
MultiInferenceRequest = message_class("tensorflow.serving.MultiInferenceRequest")
MultiInferenceResponse = message_class("tensorflow.serving.MultiInferenceResponse")
SignatureDefMap = message_class("tensorflow.serving.SignatureDefMap")
GetModelMetadataRequest = message_class("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = message_class("tensorflow.serving.GetModelMetadataResponse")
StatusProto = message_class("tensorflow.serving.StatusProto")
GetModelStatusRequest = message_class("tensorflow.serving.GetModelStatusRequest")
ModelVersionStatus = message_class("tensorflow.serving.ModelVersionStatus")
GetModelStatusResponse = message_class("tensorflow.serving.GetModelStatusResponse")
FileSystemStoragePathSourceConfig = message_class(
    "tensorflow.serving.FileSystemStoragePathSourceConfig"
)
LogCollectorConfig = message_class("tensorflow.serving.LogCollectorConfig")
PerTaskSamplingConfig = message_class("tensorflow.serving.PerTaskSamplingConfig")
SamplingConfig = message_class("tensorflow.serving.SamplingConfig")
LoggingConfig = message_class("tensorflow.serving.LoggingConfig")
ModelConfig = message_class("tensorflow.serving.ModelConfig")
ModelConfigList = message_class("tensorflow.serving.ModelConfigList")
ModelServerConfig = message_class("tensorflow.serving.ModelServerConfig")
BatchingParameters = message_class("tensorflow.serving.BatchingParameters")
PrometheusConfig = message_class("tensorflow.serving.PrometheusConfig")
MonitoringConfig = message_class("tensorflow.serving.MonitoringConfig")
SSLConfig = message_class("tensorflow.serving.SSLConfig")
Metric = message_class("tensorflow.serving.Metric")
ReloadConfigRequest = message_class("tensorflow.serving.ReloadConfigRequest")
ReloadConfigResponse = message_class("tensorflow.serving.ReloadConfigResponse")
LogMetadata = message_class("tensorflow.serving.LogMetadata")
ClassifyLog = message_class("tensorflow.serving.ClassifyLog")
RegressLog = message_class("tensorflow.serving.RegressLog")
PredictLog = message_class("tensorflow.serving.PredictLog")
PredictStreamedLog = message_class("tensorflow.serving.PredictStreamedLog")
MultiInferenceLog = message_class("tensorflow.serving.MultiInferenceLog")
PredictionLog = message_class("tensorflow.serving.PredictionLog")
HealthCheckRequest = message_class("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = message_class("grpc.health.v1.HealthCheckResponse")

# DataType and ModelVersionStatus.State by name.
DataType = _enum("tensorflow.DataType")
State = _enum("tensorflow.serving.ModelVersionStatus.State")
ServingStatus = _enum("grpc.health.v1.HealthCheckResponse.ServingStatus")


def methods(service: str) -> dict[str, tuple[Any, Any]]:
    """Returns the request and response class of each method of a service, by method name."""
    package = service.rpartition(".")[0]
    return {
        name: (message_class(f"{package}.{request}"), message_class(f"{package}.{response}"))
        for name, (request, response) in schema.SERVICES[service].items()
    }
