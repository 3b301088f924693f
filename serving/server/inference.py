"""Classify, Regress and MultiInference: examples in, classes and numbers out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stn_tf.serving.models.store import ServedVersion
from stn_tf.serving.protocol import messages
from stn_tf.serving.protocol.examples import serialized_examples
from stn_tf.serving.protocol.model_spec import Place, place_of, write_spec
from stn_tf.serving.protocol.signature import CLASSIFY, DEFAULT, PREDICT, REGRESS, Signature
from stn_tf.serving.protocol.status import Status, invalid
from stn_tf.serving.server import inference_results as results
from stn_tf.serving.server.service import ModelService

_INPUTS = "inputs"


@dataclass(frozen=True)
class _Kind:
    """What is inferred, in TensorFlow Serving's words."""

    noun: str
    method: str
    request: Any
    response: Any
    outputs: Callable[[Signature], list[str]]
    result: Callable[[Mapping[str, np.ndarray], int], Any]


_KINDS = {
    "Classify": _Kind(
        "classification",
        CLASSIFY,
        messages.ClassificationRequest,
        messages.ClassificationResponse,
        results.classification_outputs,
        results.classification_result,
    ),
    "Regress": _Kind(
        "regression",
        REGRESS,
        messages.RegressionRequest,
        messages.RegressionResponse,
        results.regression_outputs,
        results.regression_result,
    ),
}
_BY_METHOD = {kind.method: kind for kind in _KINDS.values()}


def infer(
    service: ModelService,
    api: str,
    place: Place,
    signature: str,
    given: Any,
    deadline: float | None,
) -> Any:
    """Returns the `ClassificationResponse` or `RegressionResponse` for examples.

    Args:
        service: What computes.
        api: `Classify` or `Regress`.
        place: The model.
        signature: Empty for `serving_default`. Its input is `inputs`, serialized examples; its
            outputs are `classes`, `scores` or both, or for Regress `outputs`.
        given: An `Input`.
        deadline: As in `ModelService.predict`.

    Raises:
        Status: If the request is wrong, cannot be computed, or its deadline has passed.
    """
    kind, name = _KINDS[api], signature or DEFAULT
    with service.held(*place) as held:
        found = held.servable.signatures.get(name)
        if found is None:
            raise invalid(f"No signature was found with the name: {name}")
        outputs = _outputs(kind, found)
        examples = serialized_examples(given)
        values = service.compute(held, api, name, {_INPUTS: examples}, outputs, deadline)
        response = kind.response(result=kind.result(values, len(examples)))
        write_spec(response.model_spec, held.name, held.version, name)
        if service.log.samples(held):
            request = kind.request(model_spec=response.model_spec, input=given)
            service.log.examples(held, f"{api.lower()}_log", request, response)
        return response


def multi_infer(service: ModelService, request: Any, deadline: float | None) -> Any:
    """Returns the `MultiInferenceResponse` to a `MultiInferenceRequest`.

    One version of one model, that of the first task, answers all tasks. Unlike in TensorFlow
    Serving, signatures need not share the tensor that takes the examples, as those of TensorFlow 2
    do not.

    Raises:
        Status: As `infer`.
    """
    first = request.tasks[0].model_spec if request.tasks else messages.ModelSpec()
    response = messages.MultiInferenceResponse()
    with service.held(*place_of(first)) as held:
        tasks = _tasks(held, request)
        examples = serialized_examples(request.input)
        for name, (kind, outputs) in tasks.items():
            inputs = {_INPUTS: examples}
            values = service.compute(held, "MultiInference", name, inputs, outputs, deadline)
            answer = response.results.add()
            getattr(answer, f"{kind.noun}_result").CopyFrom(kind.result(values, len(examples)))
            write_spec(answer.model_spec, held.name, held.version, name)
        if service.log.samples(held):
            service.log.examples(held, "multi_inference_log", request, response)
    return response


def _tasks(held: ServedVersion, request: Any) -> dict[str, tuple[_Kind, list[str]]]:
    """What is inferred of each signature, and the outputs that it takes."""
    tasks: dict[str, tuple[_Kind, list[str]]] = {}
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != held.name:
            raise invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        name = task.model_spec.signature_name or DEFAULT
        if name in tasks:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        found = held.servable.signatures.get(name)
        if found is None:
            raise invalid(f"Requested signature not found in model graph: {name}")
        kind = _BY_METHOD.get(task.method_name)
        if kind is None:
            raise Status("UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}")
        tasks[name] = kind, _outputs(kind, found)
    return tasks


def _outputs(kind: _Kind, signature: Signature) -> list[str]:
    # TensorFlow 2 saves every signature as one for Predict.
    if signature.method not in (kind.method, PREDICT):
        raise invalid(
            f"Expected {kind.noun} signature method_name to be {kind.method}. "
            f"Was: {signature.method}"
        )
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if _INPUTS not in signature.inputs:
        raise Status(
            "FAILED_PRECONDITION",
            f"No {kind.noun} inputs found in SignatureDef: {results.describe(signature)}",
        )
    return kind.outputs(signature)
