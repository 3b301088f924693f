"""The requests of REST."""

import io
import json
from os import PathLike
from typing import Any
from urllib.parse import quote

import numpy as np
from google.protobuf import json_format

from stn_tf.serving.client.answers import model_metadata, version_states
from stn_tf.serving.client.calls import Calls, ModelVersion, Wanted
from stn_tf.serving.client.exchange import Exchange, Flow, Reply
from stn_tf.serving.client.request_error import RequestError
from stn_tf.serving.client.results import ModelMetadata, Prediction, ServedModel, VersionStatus
from stn_tf.serving.protocol import json_writer, messages, nested_lists
from stn_tf.serving.protocol.signature import Signature
from stn_tf.serving.protocol.status import Status

_NPY = "application/x-npy"
_NPY_KINDS = "fiub"


class RestCalls(Calls):
    # Whether the server takes arrays as they are; None until it was asked.
    _takes_arrays: bool | None = None

    def _predict(
        self, wanted: Wanted, inputs: dict[str, np.ndarray], deadline: float
    ) -> Flow[Prediction]:
        place, signature = wanted.place, wanted.signature
        if unknown := [name for name in wanted.outputs if name not in signature.outputs]:
            raise RequestError(
                "INVALID_ARGUMENT",
                f"output tensor alias not found in signature: {unknown[0]} Outputs expected to be "
                f"in the set {{{','.join(sorted(signature.outputs))}}}.",
            )

        def read(reply: Reply) -> Prediction:
            outputs = _outputs(json.loads(reply.body), signature)
            only = {name: outputs[name] for name in wanted.outputs or outputs}
            return Prediction(only, place.model, reply.version or place.version, wanted.name)

        path = f"{_path(place)}:predict"
        if _is_one_batch(wanted, inputs) and (yield from self._asked_for_arrays(deadline)):
            (array,) = inputs.values()
            path += f"?signature_name={quote(wanted.name, safe='')}"
            exchange = Exchange(path, read, _npy(array), _NPY)
        else:
            exchange = Exchange(path, read, _json(wanted.name, inputs))
        return (yield from self._ask(exchange, deadline))

    def _asked_for_arrays(self, deadline: float) -> Flow[bool]:
        """Arrays as they are go to servers that list their models: none but `stn-tf serve`."""
        if self._takes_arrays is None:
            try:
                yield from self._ask(self._models(), deadline)
                self._takes_arrays = True
            except RequestError as error:
                if error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                    raise
                self._takes_arrays = False
        return self._takes_arrays

    def _classify(
        self, place: ModelVersion, body: dict[str, Any]
    ) -> Exchange[list[list[tuple[str, float]]]]:
        def read(reply: Reply) -> list[list[tuple[str, float]]]:
            results = json.loads(reply.body)["results"]
            return [[(str(label), float(score)) for label, score in one] for one in results]

        return Exchange(f"{_path(place)}:classify", read, json_writer.write(body))

    def _regress(self, place: ModelVersion, body: dict[str, Any]) -> Exchange[np.ndarray]:
        def read(reply: Reply) -> np.ndarray:
            return np.array(json.loads(reply.body)["results"], np.float32)

        return Exchange(f"{_path(place)}:regress", read, json_writer.write(body))

    def _status(self, place: ModelVersion) -> Exchange[list[VersionStatus]]:
        def read(reply: Reply) -> list[VersionStatus]:
            return version_states(_parse(json.loads(reply.body), messages.GetModelStatusResponse()))

        return Exchange(_path(place), read)

    def _metadata(self, place: ModelVersion) -> Exchange[ModelMetadata]:
        def read(reply: Reply) -> ModelMetadata:
            found = json.loads(reply.body)
            spec = _parse(found["model_spec"], messages.ModelSpec())
            signatures = {"signature_def": found["metadata"]["signature_def"]["signature_def"]}
            return model_metadata(spec, _parse(signatures, messages.SignatureDefMap()))

        return Exchange(f"{_path(place)}/metadata", read)

    def _models(self) -> Exchange[list[ServedModel]]:
        def read(reply: Reply) -> list[ServedModel]:
            return [
                ServedModel(
                    model["name"],
                    {label: int(version) for label, version in model["labels"].items()},
                    [
                        VersionStatus(
                            int(one["version"]),
                            one["state"],
                            "UNKNOWN" if one["error"] else "OK",
                            one["error"],
                        )
                        for one in model["versions"]
                    ],
                )
                for model in json.loads(reply.body)["models"]
            ]

        return Exchange("/v1/models", read)

    def _reload(self, config: str | PathLike[str]) -> Exchange[None]:
        raise RequestError(
            "UNIMPLEMENTED",
            "TensorFlow Serving's REST API does not reload configurations.",
            "Use the gRPC address of the server, such as `grpc://HOST:8500`.",
        )

    def _health(self, live: bool = False) -> Exchange[bool]:
        return Exchange("/livez" if live else "/readyz", lambda reply: True)


def _path(place: ModelVersion) -> str:
    path = f"/v1/models/{quote(place.model, safe='')}"
    if place.version is not None:
        path += f"/versions/{place.version}"
    elif place.label is not None:
        path += f"/labels/{quote(place.label, safe='')}"
    return path


def _is_one_batch(wanted: Wanted, inputs: dict[str, np.ndarray]) -> bool:
    """Whether a request can be one array, answered in rows."""
    signature = wanted.signature
    specs = [*signature.inputs.values(), *signature.outputs.values()]
    return (
        len(inputs) == 1
        and all(array.dtype.kind in _NPY_KINDS for array in inputs.values())
        and all(spec.shape is not None and spec.shape[:1] == (None,) for spec in specs)
    )


def _json(signature: str, inputs: dict[str, np.ndarray]) -> bytes:
    try:
        columns = json_writer.tensors(inputs)
    except Status as error:
        raise RequestError(error.code, error.message, "Use the server's gRPC address.") from None
    return json_writer.write({"signature_name": signature, "inputs": columns})


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _outputs(answer: Any, signature: Signature) -> dict[str, np.ndarray]:
    """Reads `outputs` (columns) or `predictions` (rows); one output goes without its name."""
    specs = signature.outputs
    values = answer["outputs"] if "outputs" in answer else answer["predictions"]
    if len(specs) == 1:
        values = dict.fromkeys(specs, values)
    elif "outputs" not in answer:
        values = {name: [row[name] for row in values] for name in specs}
    return {name: nested_lists.to_array(values[name], spec) for name, spec in specs.items()}


def _parse(content: Any, message: Any) -> Any:
    return json_format.ParseDict(
        content, message, ignore_unknown_fields=True, descriptor_pool=messages.POOL
    )
