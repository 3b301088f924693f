"""The bodies of REST requests: TensorFlow Serving's JSON, one encoded image, or a NumPy array."""

from stn_tf.serving.protocol import rest_body, rest_examples
from stn_tf.serving.protocol.model_spec import Place
from stn_tf.serving.protocol.signature import DEFAULT
from stn_tf.serving.server import image_body, inference
from stn_tf.serving.server.service import ModelService

_NPY = "application/x-npy"
_IMAGES = ("image/jpeg", "image/png")


def answer(
    service: ModelService,
    place: Place,
    verb: str,
    kind: str,
    body: bytes | memoryview,
    signature: str,
    deadline: float,
) -> bytes:
    """Returns the answer to a POST, as JSON.

    Args:
        service: What answers.
        place: Name, version and label of the model.
        verb: `predict`, `classify` or `regress`.
        kind: The content type of the body; all but images and arrays are read as JSON.
        body: The body.
        signature: Of a body that is no JSON, which names its own; empty for the default.
        deadline: In `time.monotonic` seconds.

    Raises:
        Status: If the request is wrong or cannot be computed.
    """
    if verb == "predict" and kind == _NPY:
        return image_body.array_answer(service, place, body, signature, deadline)
    body = bytes(body)
    if verb != "predict":
        return _examples(service, place, verb, body, deadline)
    if kind in _IMAGES:
        return image_body.image_answer(service, place, body, signature, deadline)
    return _json(service, place, body, deadline)


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
