"""What the server says about its models: states, metadata, health."""

from typing import Any

from stn_tf.export.publish.manifest import Manifest
from stn_tf.interface import InputSpec
from stn_tf.serving.models import answers
from stn_tf.serving.models.model_versions import VersionStatus
from stn_tf.serving.models.store import ModelStore, ServedVersion
from stn_tf.serving.protocol import messages, tensors
from stn_tf.serving.protocol.enums import CODES
from stn_tf.serving.protocol.signature import TensorSpec
from stn_tf.serving.protocol.status import Status

_SERVICES = (
    "tensorflow.serving.PredictionService",
    "tensorflow.serving.ModelService",
)


def status(store: ModelStore, name: str, version: int | None) -> Any:
    """Returns the `GetModelStatusResponse` of a model, or of one version.

    Raises:
        Status: NOT_FOUND if there is none.
    """
    answer = messages.GetModelStatusResponse()
    for found in store.status(name, version):
        error = found.error
        entry = answer.model_version_status.add(
            version=found.version, state=messages.State[found.state]
        )
        entry.status.error_code = 0 if error is None else CODES[error.code]
        entry.status.error_message = "" if error is None else error.message
    return answer


def models_json(store: ModelStore) -> Any:
    """Returns every model with its versions, their states and its labels.

    An available version also tells its signatures, and if stn-tf exported it what it takes and
    gives: `input` (null where it takes something else than one batch of images), `task`,
    `classes`, `outputs` with their meanings, and its transformers.
    """
    return {
        "models": [
            {
                "name": name,
                "labels": {label: str(number) for label, number in store.labels(name).items()},
                "versions": [_version_json(store, name, found) for found in _status(store, name)],
            }
            for name in store.names()
        ]
    }


def _version_json(store: ModelStore, name: str, found: VersionStatus) -> dict[str, Any]:
    told: dict[str, Any] = {
        "version": str(found.version),
        "state": found.state,
        "error": "" if found.error is None else found.error.message,
    }
    try:
        with store.acquire(name, version=found.version) as held:
            told["signatures"] = sorted(held.servable.signatures)
            told |= _interface_json(held.servable.manifest)
    except Status:  # It is not available, or not any more.
        pass
    return told


def _interface_json(manifest: Manifest | None) -> dict[str, Any]:
    if manifest is None:
        return {"input": None, "task": None, "classes": [], "outputs": [], "transforms": []}
    interface = manifest.interface
    (spec, *more) = interface.inputs
    found = answers.transformers(manifest)
    return {
        "input": _image_json(spec) if spec.is_image and not more else None,
        "task": interface.task,
        "classes": list(interface.class_names),
        "outputs": [output.model_dump(mode="json") for output in interface.outputs],
        "transforms": [one.sampler.transform for one in found],
        "transformers": [
            {
                "transform": one.sampler.transform,
                "reads_images": one.sampler.reads_images,
                "theta": one.theta or None,
                "corners": one.corners or None,
                "crops": one.crops or None,
            }
            for one in found
        ],
    }


def _image_json(spec: InputSpec) -> dict[str, Any]:
    """An input as pages and clients know it; a size that is null is free."""
    told = spec.model_dump(mode="json", exclude={"shape", "value_range"})
    height, width = spec.size
    size = {"height": height, "width": width, "channels": spec.channels}
    return {**size, "range": spec.value_range, **told}


def metadata(held: ServedVersion) -> Any:
    """Returns the `GetModelMetadataResponse` with the signatures of a version."""
    answer = messages.GetModelMetadataResponse()
    answer.model_spec.name = held.name
    answer.model_spec.version.value = held.version
    answer.metadata["signature_def"].Pack(_signatures(held), type_url_prefix="type.googleapis.com")
    return answer


def health(store: ModelStore, service: str) -> str | None:
    """Returns SERVING where every model has an available version; None for an unknown service.

    Args:
        store: The models.
        service: Empty for the server, one of its services, or the name of a model.
    """
    names = store.names()
    if service and service not in _SERVICES:
        if service not in names:
            return None
        names = [service]
    ready = bool(names) and all(
        any(found.state == "AVAILABLE" for found in _status(store, name)) for name in names
    )
    return "SERVING" if ready else "NOT_SERVING"


def _status(store: ModelStore, name: str) -> list:
    try:
        return store.status(name)
    except Status:  # It has no version yet.
        return []


def _signatures(held: ServedVersion) -> Any:
    found = messages.SignatureDefMap()
    for name, signature in held.servable.signatures.items():
        definition = found.signature_def[name]
        definition.method_name = signature.method
        for target, specs in (
            (definition.inputs, signature.inputs),
            (definition.outputs, signature.outputs),
        ):
            for key, spec in specs.items():
                _describe(target[key], spec)
    return found


def _describe(info: Any, spec: TensorSpec) -> None:
    info.name = f"{spec.name}:0"
    info.dtype = tensors.dtype_number(spec.dtype)
    if spec.shape is None:
        info.tensor_shape.unknown_rank = True
    else:
        for length in spec.shape:
            info.tensor_shape.dim.add(size=-1 if length is None else length)
