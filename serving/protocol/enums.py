"""The enumerations of TensorFlow Serving's messages; `schema` has the messages.

Names and numbers are those of tensorflow-serving-api 2.21 and TensorFlow 2.21; a test compares
them.
"""

# fmt: off
_TYPES = [
    "INVALID", "FLOAT", "DOUBLE", "INT32", "UINT8", "INT16", "INT8", "STRING", "COMPLEX64", "INT64",
    "BOOL", "QINT8", "QUINT8", "QINT32", "BFLOAT16", "QINT16", "QUINT16", "UINT16", "COMPLEX128",
    "HALF", "RESOURCE", "VARIANT", "UINT32", "UINT64", "FLOAT8_E5M2", "FLOAT8_E4M3FN",
    "FLOAT8_E4M3FNUZ", "FLOAT8_E4M3B11FNUZ", "FLOAT8_E5M2FNUZ", "INT4", "UINT4", "INT2", "UINT2",
    "FLOAT4_E2M1FN"
]
# fmt: on

# Codes are gRPC's; a test holds them against both gRPC and TensorFlow.
CODES = {
    "OK": 0,
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "UNAUTHENTICATED": 16,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "OUT_OF_RANGE": 11,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "DATA_LOSS": 15,
}

# Package -> enum -> value -> number.
ENUMS: dict[str, dict[str, dict[str, int]]] = {
    "tensorflow": {
        "DataType": {f"DT_{name}": number for number, name in enumerate(_TYPES)}
        | {f"DT_{name}_REF": number + 100 for number, name in enumerate(_TYPES) if number},
    },
    "tensorflow.error": {
        "Code": CODES
        | {"DO_NOT_USE_RESERVED_FOR_FUTURE_EXPANSION_USE_DEFAULT_IN_SWITCH_INSTEAD_": 20}
    },
    "tensorflow.serving": {
        "ModelType": {"MODEL_TYPE_UNSPECIFIED": 0, "TENSORFLOW": 1, "OTHER": 2},
        "ModelVersionStatus.State": {
            "UNKNOWN": 0,
            "START": 10,
            "LOADING": 20,
            "AVAILABLE": 30,
            "UNLOADING": 40,
            "END": 50,
        },
        "PredictRequest.RequestOptions.DeterministicMode": {
            "DETERMINISTIC_MODE_UNSPECIFIED": 0,
            "FIXED_DECODER_SLOT": 1,
        },
        "PredictStreamedOptions.RequestState": {"NONE": 0, "SPLIT": 1, "END_SPLIT": 2, "CANCEL": 3},
    },
    "grpc.health.v1": {
        "HealthCheckResponse.ServingStatus": {
            "UNKNOWN": 0,
            "SERVING": 1,
            "NOT_SERVING": 2,
            "SERVICE_UNKNOWN": 3,
        },
    },
}
