"""Warm-up requests in a version directory: read and replayed before the version takes traffic."""

from typing import Any

from stn_tf.errors import ModelError
from stn_tf.serving.models.servable import Servable
from stn_tf.serving.models.tf_records import read_records
from stn_tf.serving.protocol import messages
from stn_tf.serving.protocol.examples import serialized_examples
from stn_tf.serving.protocol.signature import DEFAULT
from stn_tf.serving.protocol.status import Status
from stn_tf.serving.protocol.tensors import to_array

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MAX_RECORDS = 1000  # TensorFlow Serving's limit.


def warm_up(servable: Servable) -> int:
    """Replays the requests in a version directory, if there are any.

    Returns:
        How many there were.

    Raises:
        ModelError: If the file is damaged or too long, or a request fails.
    """
    path = servable.version_dir / WARMUP_FILE
    if not path.is_file():
        return 0
    count = 0
    for count, record in enumerate(read_records(path), start=1):
        if count > MAX_RECORDS:
            raise ModelError(f"`{path}` holds more than {MAX_RECORDS} requests. Write fewer.")
        try:
            _replay(servable, messages.PredictionLog.FromString(record))
        except Exception as error:  # A decoder's, or whatever the model's computation raises.
            raise ModelError(f"Request {count} of `{path}` fails: {error}") from error
    return count


def _replay(servable: Servable, log: Any) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        inputs = {name: to_array(proto, name) for name, proto in request.inputs.items()}
        name = request.model_spec.signature_name or DEFAULT
        servable.run(name, inputs, list(request.output_filter) or None)
    elif kind in ("classify_log", "regress_log"):
        request = getattr(log, kind).request
        _replay_examples(servable, request.model_spec.signature_name, request.input)
    elif kind == "multi_inference_log":
        request = log.multi_inference_log.request
        for task in request.tasks:
            _replay_examples(servable, task.model_spec.signature_name, request.input)
    else:
        raise ValueError(f"a log of kind {kind} is not supported.")


def _replay_examples(servable: Servable, signature: str, given: Any) -> None:
    name = signature or DEFAULT
    if name not in servable.signatures:
        raise Status("INVALID_ARGUMENT", f"No signature was found with the name: {name}")
    (only,) = servable.signatures[name].inputs
    servable.run(name, {only: serialized_examples(given)})
