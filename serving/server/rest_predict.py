"""The bodies of REST requests: TensorFlow Serving's JSON, one encoded image, or a NumPy array."""

from dataclasses import dataclass

from stn_tf.serving.protocol import rest_body, rest_examples
from stn_tf.serving.protocol.model_spec import Place
from stn_tf.serving.protocol.npy_body import read_npy
from stn_tf.serving.protocol.signature import DEFAULT
from stn_tf.serving.server import image_body, inference
from stn_tf.serving.server.service import ModelService

_NPY = "application/x-npy"
_IMAGES = ("image/jpeg", "image/png")


@dataclass(frozen=True)
class Answer:
    """JSON, and the version of the model that gave it."""

    body: bytes
    version: int


def answer(
    service: ModelService,
    place: Place,
    verb: str,
    kind: str,
    body: bytes | memoryview,
    signature: str,
    deadline: float,
) -> Answer:
    """Returns the answer to a POST.

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
        return _array(service, place, body, signature, deadline)
    body = bytes(body)
    if verb != "predict":
        return _examples(service, place, verb, body, deadline)
    if kind in _IMAGES:
        with service.held(*place) as held:
            found = image_body.image_answer(service, held, body, signature, deadline)
            return Answer(found, held.version)
    return _json(service, place, body, deadline)


def _examples(
    service: ModelService, place: Place, verb: str, data: bytes, deadline: float
) -> Answer:
    body = rest_body.open_body(data)
    given = rest_examples.example_input(body)
    api, signature = verb.capitalize(), body.signature_name
    found = inference.infer(service, api, place, signature, given, deadline)
    write = rest_examples.classify_answer if verb == "classify" else rest_examples.regress_answer
    return Answer(write(found.result), found.model_spec.version.value)


def _array(
    service: ModelService, place: Place, data: bytes | memoryview, signature: str, deadline: float
) -> Answer:
    values = read_npy(data)
    with service.held(*place) as held:
        found = image_body.array_answer(service, held, values, signature, deadline)
        return Answer(found, held.version)


def _json(service: ModelService, place: Place, data: bytes, deadline: float) -> Answer:
    body = rest_body.open_body(data)
    name = body.signature_name or DEFAULT
    with service.held(*place) as held:
        inputs, rows = rest_body.predict_inputs(body, held.servable.signature(name))
        outputs = service.compute(held, "Predict", name, inputs, (), deadline)
        return Answer(rest_body.predict_answer(outputs, rows), held.version)
