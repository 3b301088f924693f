"""The gRPC side: bytes in, bytes out, with the generated classes for what is unusual."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import grpc

from stn_tf.errors import ConfigError
from stn_tf.serving.models.model_config import model_configs
from stn_tf.serving.protocol import messages, wire
from stn_tf.serving.protocol.call import read_call
from stn_tf.serving.protocol.enums import CODES
from stn_tf.serving.protocol.model_spec import requested_place
from stn_tf.serving.protocol.status import Status, invalid
from stn_tf.serving.server import inference, model_info
from stn_tf.serving.server.api_keys import ApiKeyInterceptor, ApiKeys
from stn_tf.serving.server.health import Health
from stn_tf.serving.server.service import ModelService
from stn_tf.serving.server.tls import Tls

_PREDICTION = "tensorflow.serving.PredictionService"
_MODELS = "tensorflow.serving.ModelService"
_CODES = {CODES[code.name]: code for code in grpc.StatusCode if code.name in CODES}
# Clients send images of any size; TensorFlow Serving has no limit either.
_OPTIONS = {
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    "grpc.so_reuseport": 0,
}

Answer = Callable[[bytes, grpc.ServicerContext], bytes]


def make_grpc_server(
    service: ModelService,
    health: Health,
    addresses: Sequence[str],
    *,
    threads: int = 16,
    typed: bool = True,
    tls: Tls | None = None,
    keys: ApiKeys | None = None,
    arguments: Mapping[str, int | str] = MappingProxyType({}),
) -> tuple[grpc.Server, list[int]]:
    """Returns a server that is not started yet, and the ports that it will listen on.

    Args:
        service: What answers.
        health: What answers for the state of the server.
        addresses: `host:port` (port 0 for a free one) or `unix:/path`.
        threads: Requests that are handled at once.
        typed: Whether answers hold `float_val` rather than `tensor_content`.
        tls: The certificate; without one, nothing is encrypted.
        keys: Who may call; None for everybody.
        arguments: gRPC's own settings.

    Raises:
        OSError: If an address cannot be bound.
    """
    server = grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
        interceptors=() if keys is None else (ApiKeyInterceptor(keys),),
        options=list({**_OPTIONS, **arguments}.items()),
    )
    answers = _Answers(service, typed)
    server.add_generic_rpc_handlers(
        (
            _handler(
                _PREDICTION,
                Predict=answers.predict,
                Classify=answers.classify,
                Regress=answers.regress,
                MultiInference=answers.multi_inference,
                GetModelMetadata=answers.get_model_metadata,
            ),
            _handler(
                _MODELS,
                GetModelStatus=answers.get_model_status,
                HandleReloadConfigRequest=answers.reload,
            ),
            _health_handler(health),
        )
    )
    ports = []
    for address in addresses:
        try:
            if tls is None:
                ports.append(server.add_insecure_port(address))
            else:
                ports.append(server.add_secure_port(address, tls.grpc_credentials()))
        except RuntimeError as error:
            raise OSError(f"`{address}` cannot be listened on: {error}") from None
    return server, ports


def _handler(name: str, **methods: Answer) -> Any:
    made = {
        method: grpc.unary_unary_rpc_method_handler(_guarded(answer))
        for method, answer in methods.items()
    }
    return grpc.method_handlers_generic_handler(name, made)


def _health_handler(health: Health) -> Any:
    methods = {
        "Check": grpc.unary_unary_rpc_method_handler(_guarded(health.check)),
        "Watch": grpc.unary_stream_rpc_method_handler(health.watch),
    }
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods)


def _guarded(answer: Answer) -> Answer:
    def answered(data: bytes, context: grpc.ServicerContext) -> bytes:
        try:
            return answer(data, context)
        except Status as error:
            code, text = _CODES[error.number], error.message
        except Exception as error:  # Whatever a model does, the server goes on.
            code, text = grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}"[:1024]
        context.abort(code, text)
        raise AssertionError  # abort() has raised.

    return answered


class _Answers:
    """The methods of the services, each from the bytes of a request to those of an answer."""

    def __init__(self, service: ModelService, typed: bool) -> None:
        self._service = service
        self._typed = typed

    def predict(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        call = read_call(data)
        with self._service.counted(call.name, "Predict", "GRPC"):
            found = self._service.predict(call, _deadline(context))
        return wire.write_predict(
            call.name, found.version, found.signature, found.outputs, self._typed
        )

    def classify(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        request = _parse(messages.ClassificationRequest, data)
        return self._infer("Classify", request, context)

    def regress(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        request = _parse(messages.RegressionRequest, data)
        return self._infer("Regress", request, context)

    def _infer(self, api: str, request: Any, context: grpc.ServicerContext) -> bytes:
        place, signature = requested_place(request), request.model_spec.signature_name
        with self._service.counted(place[0], api, "GRPC"):
            answer = inference.infer(
                self._service, api, place, signature, request.input, _deadline(context)
            )
        return bytes(answer.SerializeToString())

    def multi_inference(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        request = _parse(messages.MultiInferenceRequest, data)
        name = request.tasks[0].model_spec.name if request.tasks else ""
        with self._service.counted(name, "MultiInference", "GRPC"):
            answer = inference.multi_infer(self._service, request, _deadline(context))
        return bytes(answer.SerializeToString())

    def get_model_metadata(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        request = _parse(messages.GetModelMetadataRequest, data)
        place = requested_place(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        with self._service.held(*place) as held:
            return bytes(model_info.metadata(held).SerializeToString())

    def get_model_status(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        request = _parse(messages.GetModelStatusRequest, data)
        name, version, _ = requested_place(request)
        return bytes(model_info.status(self._service.store, name, version).SerializeToString())

    def reload(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        request = _parse(messages.ReloadConfigRequest, data)
        try:
            configs = model_configs(request.config)
        except ConfigError as error:
            raise invalid(str(error)) from None
        metrics, names = self._service.metrics, list(request.metric_names)
        before = metrics.counts(names)
        self._service.store.reload(configs)
        answer = messages.ReloadConfigResponse(status={"error_code": 0})
        for name, value in metrics.counts(names).items():
            answer.metric.add(name=name, int64_value_increase=value - before.get(name, 0))
        return bytes(answer.SerializeToString())


def _deadline(context: grpc.ServicerContext) -> float | None:
    """When the client stops to wait, in `time.monotonic` seconds."""
    left = context.time_remaining()
    # Without a deadline, gRPC gives the largest number there is.
    return None if left is None or left > 1e6 else time.monotonic() + left


def _parse(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except Exception as error:  # Protobuf's kinds differ between its implementations.
        raise invalid(f"The request is no {kind.DESCRIPTOR.name}: {error}") from None
