"""The requests of gRPC."""

from os import PathLike
from typing import Any

import numpy as np

from stn_tf.serving.client.answers import model_metadata, version_states
from stn_tf.serving.client.calls import Calls, ModelVersion, Wanted
from stn_tf.serving.client.exchange import Exchange, Flow, Reply
from stn_tf.serving.client.request_error import RequestError
from stn_tf.serving.client.results import ModelMetadata, Prediction, ServedModel, VersionStatus
from stn_tf.serving.protocol import messages
from stn_tf.serving.protocol.call import read_answer
from stn_tf.serving.protocol.rest_body import open_body, write
from stn_tf.serving.protocol.rest_examples import example_input
from stn_tf.serving.protocol.status import Status
from stn_tf.serving.protocol.text_message import read_text_message
from stn_tf.serving.protocol.wire import PredictCall, write_request

_PREDICTION = "/tensorflow.serving.PredictionService"
_MODELS = "/tensorflow.serving.ModelService"


class GrpcCalls(Calls):
    def _predict(
        self, wanted: Wanted, inputs: dict[str, np.ndarray], deadline: float
    ) -> Flow[Prediction]:
        place = wanted.place

        def read(reply: Reply) -> Prediction:
            answer = read_answer(reply.body)
            # Not views of the message, which are read-only and may be unaligned.
            names = wanted.outputs or sorted(answer.outputs)
            outputs = {name: answer.outputs[name].copy() for name in names}
            return Prediction(outputs, place.model, answer.version, answer.signature or wanted.name)

        call = PredictCall(
            place.model, place.version, place.label, wanted.name, inputs, wanted.outputs
        )
        body = write_request(call, typed=False)
        return (yield from self._ask(Exchange(f"{_PREDICTION}/Predict", read, body), deadline))

    def _classify(
        self, place: ModelVersion, body: dict[str, Any]
    ) -> Exchange[list[list[tuple[str, float]]]]:
        def read(reply: Reply) -> list[list[tuple[str, float]]]:
            result = messages.ClassificationResponse.FromString(reply.body).result
            return [
                [(one.label, one.score) for one in classes.classes]
                for classes in result.classifications
            ]

        request = _examples(messages.ClassificationRequest(), place, body)
        return Exchange(f"{_PREDICTION}/Classify", read, request)

    def _regress(self, place: ModelVersion, body: dict[str, Any]) -> Exchange[np.ndarray]:
        def read(reply: Reply) -> np.ndarray:
            result = messages.RegressionResponse.FromString(reply.body).result
            return np.array([one.value for one in result.regressions], np.float32)

        request = _examples(messages.RegressionRequest(), place, body)
        return Exchange(f"{_PREDICTION}/Regress", read, request)

    def _status(self, place: ModelVersion) -> Exchange[list[VersionStatus]]:
        request = messages.GetModelStatusRequest()
        _set_spec(request.model_spec, place)

        def read(reply: Reply) -> list[VersionStatus]:
            return version_states(messages.GetModelStatusResponse.FromString(reply.body))

        return Exchange(f"{_MODELS}/GetModelStatus", read, request.SerializeToString())

    def _metadata(self, place: ModelVersion) -> Exchange[ModelMetadata]:
        request = messages.GetModelMetadataRequest(metadata_field=["signature_def"])
        _set_spec(request.model_spec, place)

        def read(reply: Reply) -> ModelMetadata:
            response = messages.GetModelMetadataResponse.FromString(reply.body)
            signatures = messages.SignatureDefMap()
            response.metadata["signature_def"].Unpack(signatures)
            return model_metadata(response.model_spec, signatures)

        return Exchange(f"{_PREDICTION}/GetModelMetadata", read, request.SerializeToString())

    def _models(self) -> Exchange[list[ServedModel]]:
        raise RequestError(
            "UNIMPLEMENTED",
            "TensorFlow Serving's gRPC API has no list of models.",
            "Use the REST address of the server, such as `http://HOST:8501`.",
        )

    def _reload(self, config: str | PathLike[str]) -> Exchange[None]:
        request = messages.ReloadConfigRequest(
            config=read_text_message(config, messages.ModelServerConfig)
        )

        def read(reply: Reply) -> None:
            status = messages.ReloadConfigResponse.FromString(reply.body).status
            if status.error_code:
                raise ValueError(status.error_message)

        return Exchange(
            f"{_MODELS}/HandleReloadConfigRequest", read, request.SerializeToString(), safe=False
        )

    def _health(self, live: bool = False) -> Exchange[bool]:
        def read(reply: Reply) -> bool:
            status: int = messages.HealthCheckResponse.FromString(reply.body).status
            return status == messages.ServingStatus["SERVING"]

        return Exchange("/grpc.health.v1.Health/Check", read, b"")


def _examples(request: Any, place: ModelVersion, body: dict[str, Any]) -> bytes:
    _set_spec(request.model_spec, place)
    request.model_spec.signature_name = body.get("signature_name", "")
    try:
        request.input.CopyFrom(example_input(open_body(write(body))))
    except Status as error:
        raise RequestError(error.code, error.message) from None
    data: bytes = request.SerializeToString()
    return data


def _set_spec(spec: Any, place: ModelVersion) -> None:
    spec.name = place.model
    if place.version is not None:
        spec.version.value = place.version
    elif place.label is not None:
        spec.version_label = place.label
