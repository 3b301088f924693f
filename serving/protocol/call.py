"""Predict's messages, read from the wire where they can be and by the generated classes else."""

from typing import Any

from google.protobuf.message import DecodeError

from stn_tf.serving.protocol.messages import PredictRequest, PredictResponse
from stn_tf.serving.protocol.status import invalid
from stn_tf.serving.protocol.tensors import to_array
from stn_tf.serving.protocol.wire import PredictAnswer, PredictCall, read_predict, read_response


def read_call(data: bytes) -> PredictCall:
    """Reads a `PredictRequest`.

    Raises:
        Status: INVALID_ARGUMENT, if it is malformed or names no model.
    """
    call = read_predict(data)
    if call is not None:
        return call
    try:
        request = PredictRequest.FromString(data)
    except DecodeError:
        raise invalid("Error parsing PredictRequest") from None
    return predict_call(request)


def predict_call(request: Any) -> PredictCall:
    """Returns the call that a `PredictRequest` message makes, with the same errors."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    spec = request.model_spec
    if not spec.name:
        raise invalid("ModelSpec has no name specified.")
    choice = spec.WhichOneof("version_choice")
    return PredictCall(
        name=spec.name,
        version=spec.version.value if choice == "version" else None,
        label=spec.version_label if choice == "version_label" else None,
        signature=spec.signature_name,
        inputs={name: to_array(request.inputs[name], name) for name in sorted(request.inputs)},
        output_filter=tuple(request.output_filter),
    )


def read_answer(data: bytes) -> PredictAnswer:
    """Reads a `PredictResponse`, for clients.

    Raises:
        Status: INVALID_ARGUMENT, if it is malformed.
    """
    answer = read_response(data)
    if answer is not None:
        return answer
    try:
        response = PredictResponse.FromString(data)
    except DecodeError:
        raise invalid("Error parsing PredictResponse") from None
    return predict_answer(response)


def predict_answer(response: Any) -> PredictAnswer:
    """Returns what a `PredictResponse` message says."""
    spec = response.model_spec
    return PredictAnswer(
        name=spec.name,
        version=spec.version.value if spec.HasField("version") else None,
        signature=spec.signature_name,
        outputs={name: to_array(response.outputs[name], name) for name in sorted(response.outputs)},
    )
