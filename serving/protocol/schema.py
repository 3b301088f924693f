"""The schema of TensorFlow Serving's messages, one line a field.

Full names, numbers and types are those of tensorflow-serving-api 2.21 and TensorFlow 2.21; a test
compares them. `TYPE name = NUMBER @oneof`, types in the scope of the package; `json` where JSON
keeps the name. Two fields are left out, and pass through as unknown fields:
`PredictionLog.session_run_log` and the `type_spec` of composite tensors, which pull in the whole
graph schema.

The configuration files of batching, monitoring and TLS have no classes in tensorflow-serving-api.
They are only ever text, so their names count, not their numbers; they follow TensorFlow Serving's
`session_bundle_config.proto`, `monitoring_config.proto` and `ssl_config.proto`.
"""

# Package -> its messages: a line without indentation names one, those below are its fields.
MESSAGES = {
    "tensorflow.error": "",
    "tensorflow": """
TensorShapeProto
  repeated TensorShapeProto.Dim dim = 2
  bool unknown_rank = 3
TensorShapeProto.Dim
  int64 size = 1
  string name = 2
TensorProto
  DataType dtype = 1
  TensorShapeProto tensor_shape = 2
  int32 version_number = 3
  bytes tensor_content = 4
  repeated int32 half_val = 13
  repeated float float_val = 5
  repeated double double_val = 6
  repeated int32 int_val = 7
  repeated bytes string_val = 8
  repeated float scomplex_val = 9
  repeated int64 int64_val = 10
  repeated bool bool_val = 11
  repeated double dcomplex_val = 12
  repeated ResourceHandleProto resource_handle_val = 14
  repeated VariantTensorDataProto variant_val = 15
  repeated uint32 uint32_val = 16
  repeated uint64 uint64_val = 17
  bytes float8_val = 18
ResourceHandleProto
  string device = 1
  string container = 2
  string name = 3
  uint64 hash_code = 4
  string maybe_type_name = 5
  repeated ResourceHandleProto.DtypeAndShape dtypes_and_shapes = 6
ResourceHandleProto.DtypeAndShape
  DataType dtype = 1
  TensorShapeProto shape = 2
VariantTensorDataProto
  string type_name = 1
  bytes metadata = 2
  repeated TensorProto tensors = 3
TensorInfo
  string name = 1 @encoding
  TensorInfo.CooSparse coo_sparse = 4 @encoding
  TensorInfo.CompositeTensor composite_tensor = 5 @encoding
  DataType dtype = 2
  TensorShapeProto tensor_shape = 3
TensorInfo.CooSparse
  string values_tensor_name = 1
  string indices_tensor_name = 2
  string dense_shape_tensor_name = 3
TensorInfo.CompositeTensor
  repeated TensorInfo components = 2
SignatureDef
  map<string, TensorInfo> inputs = 1
  map<string, TensorInfo> outputs = 2
  string method_name = 3
  map<string, TensorProto> defaults = 4
Example
  Features features = 1
Features
  map<string, Feature> feature = 1
Feature
  BytesList bytes_list = 1 @kind
  FloatList float_list = 2 @kind
  Int64List int64_list = 3 @kind
BytesList
  repeated bytes value = 1
FloatList
  repeated float value = 1
Int64List
  repeated int64 value = 1
""",
    "tensorflow.serving": """
ModelSpec
  string name = 1
  google.protobuf.Int64Value version = 2 @version_choice
  string version_label = 4 @version_choice
  string signature_name = 3
PredictRequest
  ModelSpec model_spec = 1
  map<string, tensorflow.TensorProto> inputs = 2
  repeated string output_filter = 3
  PredictStreamedOptions predict_streamed_options = 5
  optional bytes client_id = 6
  optional PredictRequest.RequestOptions request_options = 7
PredictRequest.RequestOptions
  optional bytes client_id = 1
  optional PredictRequest.RequestOptions.DeterministicMode deterministic_mode = 2
  optional bool return_additional_arrays_from_prefill = 3
  repeated int64 return_stoptokens = 4
  optional bool return_all_stoptokens = 9
  optional int64 max_cache_length = 6
  optional PredictRequest.RequestOptions.Handshake handshake = 13
PredictRequest.RequestOptions.Handshake
  int64 estimated_payload_bytes = 1
PredictStreamedOptions
  PredictStreamedOptions.RequestState request_state = 1
  map<string, int32> split_dimensions = 2
  bool return_single_response = 3
PredictResponse
  ModelSpec model_spec = 2
  map<string, tensorflow.TensorProto> outputs = 1
Input
  ExampleList example_list = 1 @kind
  ExampleListWithContext example_list_with_context = 2 @kind
ExampleList
  repeated tensorflow.Example examples = 1
ExampleListWithContext
  repeated tensorflow.Example examples = 1
  tensorflow.Example context = 2
Class
  string label = 1
  float score = 2
Classifications
  repeated Class classes = 1
ClassificationResult
  repeated Classifications classifications = 1
ClassificationRequest
  ModelSpec model_spec = 1
  Input input = 2
ClassificationResponse
  ModelSpec model_spec = 2
  ClassificationResult result = 1
Regression
  float value = 1
RegressionResult
  repeated Regression regressions = 1
RegressionRequest
  ModelSpec model_spec = 1
  Input input = 2
RegressionResponse
  ModelSpec model_spec = 2
  RegressionResult result = 1
InferenceTask
  ModelSpec model_spec = 1
  string method_name = 2
InferenceResult
  ModelSpec model_spec = 1
  ClassificationResult classification_result = 2 @result
  RegressionResult regression_result = 3 @result
MultiInferenceRequest
  repeated InferenceTask tasks = 1
  Input input = 2
MultiInferenceResponse
  repeated InferenceResult results = 1
SignatureDefMap
  map<string, tensorflow.SignatureDef> signature_def = 1
GetModelMetadataRequest
  ModelSpec model_spec = 1
  repeated string metadata_field = 2
GetModelMetadataResponse
  ModelSpec model_spec = 1
  map<string, google.protobuf.Any> metadata = 2
StatusProto
  tensorflow.error.Code error_code = 1 json
  string error_message = 2 json
GetModelStatusRequest
  ModelSpec model_spec = 1
ModelVersionStatus
  int64 version = 1
  ModelVersionStatus.State state = 2
  StatusProto status = 3
GetModelStatusResponse
  repeated ModelVersionStatus model_version_status = 1 json
FileSystemStoragePathSourceConfig
FileSystemStoragePathSourceConfig.ServableVersionPolicy
  FileSystemStoragePathSourceConfig.ServableVersionPolicy.Latest latest = 100 @policy_choice
  FileSystemStoragePathSourceConfig.ServableVersionPolicy.All all = 101 @policy_choice
  FileSystemStoragePathSourceConfig.ServableVersionPolicy.Specific specific = 102 @policy_choice
FileSystemStoragePathSourceConfig.ServableVersionPolicy.Latest
  uint32 num_versions = 1
FileSystemStoragePathSourceConfig.ServableVersionPolicy.All
FileSystemStoragePathSourceConfig.ServableVersionPolicy.Specific
  repeated int64 versions = 1
LogCollectorConfig
  string type = 1
  string filename_prefix = 2
PerTaskSamplingConfig
  string dc = 1
  optional int32 task_index = 2
  double sampling_rate = 3
SamplingConfig
  double sampling_rate = 1
  repeated PerTaskSamplingConfig per_task_sampling_configs = 3
  int32 attributes = 2
LoggingConfig
  LogCollectorConfig log_collector_config = 1
  SamplingConfig sampling_config = 2
  google.protobuf.Any custom_logging_config = 3
ModelConfig
  string name = 1
  string base_path = 2
  ModelType model_type = 3
  string model_platform = 4
  FileSystemStoragePathSourceConfig.ServableVersionPolicy model_version_policy = 7
  map<string, int64> version_labels = 8
  LoggingConfig logging_config = 6
ModelConfigList
  repeated ModelConfig config = 1
ModelServerConfig
  ModelConfigList model_config_list = 1 @config
  google.protobuf.Any custom_model_config = 2 @config
BatchingParameters
  google.protobuf.Int64Value max_batch_size = 1
  google.protobuf.Int64Value batch_timeout_micros = 2
  google.protobuf.Int64Value max_enqueued_batches = 3
  google.protobuf.Int64Value num_batch_threads = 4
  google.protobuf.StringValue thread_pool_name = 5
  repeated int64 allowed_batch_sizes = 6
  bool pad_variable_length_inputs = 7
  google.protobuf.BoolValue enable_large_batch_splitting = 8
  google.protobuf.Int64Value max_execution_batch_size = 9
PrometheusConfig
  bool enable = 1
  string path = 2
MonitoringConfig
  PrometheusConfig prometheus_config = 1
SSLConfig
  string server_key = 1
  string server_cert = 2
  string custom_ca = 3
  bool client_verify = 4
Metric
  string name = 1
  int64 int64_value_increase = 2 @value_increase
ReloadConfigRequest
  ModelServerConfig config = 1
  repeated string metric_names = 2
ReloadConfigResponse
  StatusProto status = 1
  repeated Metric metric = 2
LogMetadata
  ModelSpec model_spec = 1
  SamplingConfig sampling_config = 2
  repeated string saved_model_tags = 3
  int64 timestamp_secs = 4
  string dc = 5
  string request_origin = 6
  string request_criticality = 7
  int64 safe_aggregation_privacy_key = 8
ClassifyLog
  ClassificationRequest request = 1
  ClassificationResponse response = 2
RegressLog
  RegressionRequest request = 1
  RegressionResponse response = 2
PredictLog
  PredictRequest request = 1
  PredictResponse response = 2
PredictStreamedLog
  repeated PredictRequest request = 1
  repeated PredictResponse response = 2
MultiInferenceLog
  MultiInferenceRequest request = 1
  MultiInferenceResponse response = 2
PredictionLog
  LogMetadata log_metadata = 1
  ClassifyLog classify_log = 2 @log_type
  RegressLog regress_log = 3 @log_type
  PredictLog predict_log = 6 @log_type
  PredictStreamedLog predict_streamed_log = 7 @log_type
  MultiInferenceLog multi_inference_log = 4 @log_type
""",
    "grpc.health.v1": """
HealthCheckRequest
  string service = 1
HealthCheckResponse
  HealthCheckResponse.ServingStatus status = 1
""",
}

# Service -> method -> its request and response.
SERVICES = {
    "tensorflow.serving.PredictionService": {
        "Classify": ("ClassificationRequest", "ClassificationResponse"),
        "Regress": ("RegressionRequest", "RegressionResponse"),
        "Predict": ("PredictRequest", "PredictResponse"),
        "MultiInference": ("MultiInferenceRequest", "MultiInferenceResponse"),
        "GetModelMetadata": ("GetModelMetadataRequest", "GetModelMetadataResponse"),
    },
    "tensorflow.serving.ModelService": {
        "GetModelStatus": ("GetModelStatusRequest", "GetModelStatusResponse"),
        "HandleReloadConfigRequest": ("ReloadConfigRequest", "ReloadConfigResponse"),
    },
    "grpc.health.v1.Health": {
        "Check": ("HealthCheckRequest", "HealthCheckResponse"),
        "Watch": ("HealthCheckRequest", "HealthCheckResponse"),
    },
}
