"""The bodies of REST requests: TensorFlow Serving's JSON, one encoded image, or a NumPy array."""

import io

import numpy as np

from stn_tf.serving.protocol import rest_body, rest_examples
from stn_tf.serving.protocol.model_spec import Place
from stn_tf.serving.protocol.signature import DEFAULT
from stn_tf.serving.protocol.status import invalid
from stn_tf.serving.protocol.wire import PredictCall
from stn_tf.serving.server import inference
from stn_tf.serving.server.service import ModelService

_JSON = "application/json"
_NPY = "application/x-npy"
_IMAGES = ("image/jpeg", "image/png")
_BYTES_SIGNATURE = "serving_bytes"


def answer(
    service: ModelService, place: Place, verb: str, kind: str, body: bytes, deadline: float
) -> tuple[bytes, str]:
    """Returns the answer to a POST, and its content type.

    Args:
        service: What answers.
        place: Name, version and label of the model.
        verb: `predict`, `classify` or `regress`.
        kind: The content type of the body; all but images and arrays are read as JSON.
        body: The body.
        deadline: In `time.monotonic` seconds.

    Raises:
        Status: If the request is wrong or cannot be computed.
    """
    if verb != "predict":
        return _examples(service, place, verb, body, deadline), _JSON
    if kind == _NPY:
        return _array(service, place, body, deadline), _JSON
    if kind in _IMAGES:
        return _image(service, place, body, deadline), _JSON
    return _json(service, place, body, deadline), _JSON


def _examples(
    service: ModelService, place: Place, verb: str, data: bytes, deadline: float
) -> bytes:
    body = rest_body.open_body(data)
    given = rest_examples.example_input(body)
    api, signature = verb.capitalize(), body.signature_name
    result = inference.infer(service, api, place, signature, given, deadline).result
    if verb == "classify":
        return rest_examples.classify_answer(result)
    return rest_examples.regress_answer(result)


def _json(service: ModelService, place: Place, data: bytes, deadline: float) -> bytes:
    body = rest_body.open_body(data)
    name = body.signature_name or DEFAULT
    with service.held(*place) as held:
        inputs, rows = rest_body.predict_inputs(body, held.servable.signature(name))
        outputs = service.compute(held, "Predict", name, inputs, (), deadline)
    return rest_body.predict_answer(outputs, rows)


def _array(service: ModelService, place: Place, data: bytes, deadline: float) -> bytes:
    try:
        values = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise invalid(f"The body is no array of NumPy's .npy format: {error}") from None
    with service.held(*place) as held:
        signature, version = held.servable.signatures.get(DEFAULT), held.version
    if signature is None or len(signature.inputs) != 1 or not isinstance(values, np.ndarray):
        raise invalid("An array as body is for signatures with one input; send JSON instead.")
    (name,) = signature.inputs
    call = PredictCall(place[0], version, None, DEFAULT, {name: values}, ())
    return rest_body.predict_answer(service.predict(call, deadline).outputs, rows=True)


def _image(service: ModelService, place: Place, data: bytes, deadline: float) -> bytes:
    encoded = np.empty(1, object)
    encoded[0] = data
    inputs = {"image_bytes": encoded}
    call = PredictCall(*place, _BYTES_SIGNATURE, inputs, ())
    return rest_body.predict_answer(service.predict(call, deadline).outputs, rows=True)
