"""Clients of model servers, over gRPC and REST, without TensorFlow.

    from stn_tf.serving.client import Client

    with Client("grpc://localhost:8500") as client:
        answer = client.predict(images, model="digits")
        answer.outputs["probabilities"], answer.version

They speak TensorFlow Serving's protocol: `stn-tf serve` answers them, and so does
`tensorflow_model_server`. `AsyncClient` has the same methods as coroutines.
"""

from stn_tf.serving.client.async_client import AsyncClient
from stn_tf.serving.client.client import Client
from stn_tf.serving.client.request_error import RequestError
from stn_tf.serving.client.results import ModelMetadata, Prediction, ServedModel, VersionStatus

__all__ = [
    "AsyncClient",
    "Client",
    "ModelMetadata",
    "Prediction",
    "RequestError",
    "ServedModel",
    "VersionStatus",
]
