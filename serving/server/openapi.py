"""What the REST API takes and gives, as an OpenAPI 3.1 document of the models that are served."""

from collections.abc import Sequence
from typing import Any

from stn_tf.serving.models.store import ModelStore, ServedVersion
from stn_tf.serving.protocol.model_spec import VERSION_HEADER
from stn_tf.serving.protocol.signature import CLASSIFY, DEFAULT, REGRESS, Signature, TensorSpec
from stn_tf.serving.protocol.status import Status

_JSON = "application/json"
_VERSION = {"description": "The version that answered", "schema": {"type": "integer"}}
_ERROR = {"$ref": "#/components/schemas/Error"}
_VERBS = {CLASSIFY: "classify", REGRESS: "regress"}
_BINARY = {"type": "string", "contentEncoding": "base64"}


def document(store: ModelStore, version: str, *, keys: bool) -> dict[str, Any]:
    """Returns the document.

    Args:
        store: The models; each is described by its latest version.
        version: Of this package.
        keys: Whether requests need an API key.
    """
    paths: dict[str, Any] = {
        "/v1/models": {"get": _get("Models, their versions and states")},
        "/readyz": {"get": _probe("Whether every model is available")},
        "/livez": {"get": _probe("Whether the server runs")},
    }
    for name in store.names():
        try:
            with store.acquire(name) as held:
                paths |= _model_paths(name, held)
        except Status:  # It has no version that is available.
            continue
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "stn-tf serve", "version": version},
        "paths": paths,
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "properties": {"error": {"type": "string"}},
                    "required": ["error"],
                }
            }
        },
    }
    if keys:
        schemes = {"key": {"type": "http", "scheme": "bearer"}}
        found["components"]["securitySchemes"] = schemes
        found["security"] = [{"key": []}]
    return found


def _model_paths(name: str, held: ServedVersion) -> dict[str, Any]:
    signatures = held.servable.signatures
    post: dict[str, Any] = {"predict": _predict(held)}
    for method, verb in _VERBS.items():
        if any(signature.method == method for signature in signatures.values()):
            post[verb] = _post(f"Examples -> {verb}", {_JSON: _content(_EXAMPLES)}, _RESULTS)
    paths: dict[str, Any] = {}
    places: tuple[tuple[str, list[Any]], ...] = (
        (f"/v1/models/{name}", []),
        (f"/v1/models/{name}/versions/{{version}}", [_parameter("version", "integer")]),
        (f"/v1/models/{name}/labels/{{label}}", [_parameter("label", "string")]),
    )
    for path, parameters in places:
        paths[path] = {"get": _get("States of the versions", parameters)}
        paths[f"{path}/metadata"] = {"get": _get("Signatures", parameters)}
        for verb, operation in post.items():
            paths[f"{path}:{verb}"] = {
                "post": operation | {"parameters": [*operation["parameters"], *parameters]}
            }
    return paths


def _predict(held: ServedVersion) -> dict[str, Any]:
    signatures = held.servable.signatures
    content = {_JSON: _content({"anyOf": [_request(n, s) for n, s in signatures.items()]})}
    encoded = any(
        spec.dtype == "string" for signature in signatures.values() for spec in _only(signature)
    )
    manifest = held.servable.manifest
    if encoded or (manifest is not None and manifest.interface.takes_images):
        content |= {kind: _content(_BINARY) for kind in ("image/png", "image/jpeg")}
    if any(spec.dtype != "string" for s in signatures.values() for spec in _only(s)):
        content["application/x-npy"] = _content(_BINARY)
    answers = {"anyOf": [_answer(signature) for signature in signatures.values()]}
    operation = _post("Outputs of a signature", content, answers)
    query = _parameter("signature_name", "string", where="query")
    query["description"] = "The signature for bodies that are no JSON."
    query["schema"]["enum"] = sorted(signatures)
    operation["parameters"] = [query]
    return operation


def _only(signature: Signature) -> Sequence[TensorSpec]:
    """The input, where there is one only."""
    return list(signature.inputs.values()) if len(signature.inputs) == 1 else []


def _request(name: str, signature: Signature) -> dict[str, Any]:
    rows = _named({key: _rows(spec, batch=False) for key, spec in signature.inputs.items()})
    columns = _named({key: _rows(spec, batch=True) for key, spec in signature.inputs.items()})
    needed = [] if name == DEFAULT else ["signature_name"]
    return {
        "title": name,
        "type": "object",
        "properties": {
            "signature_name": {"const": name},
            "instances": {"type": "array", "items": rows},
            "inputs": columns,
        },
        "oneOf": [{"required": [*needed, "instances"]}, {"required": [*needed, "inputs"]}],
    }


def _answer(signature: Signature) -> dict[str, Any]:
    rows = _named({key: _rows(spec, batch=False) for key, spec in signature.outputs.items()})
    columns = _named({key: _rows(spec, batch=True) for key, spec in signature.outputs.items()})
    return {
        "type": "object",
        "properties": {"predictions": {"type": "array", "items": rows}, "outputs": columns},
    }


def _named(schemas: dict[str, Any]) -> dict[str, Any]:
    """An object by name, or one value alone, as TensorFlow Serving has it."""
    whole = {"type": "object", "properties": schemas, "required": sorted(schemas)}
    return {"anyOf": [whole, *schemas.values()]} if len(schemas) == 1 else whole


def _rows(spec: TensorSpec, *, batch: bool) -> dict[str, Any]:
    """Nested lists of a tensor, or of one row of it."""
    if spec.shape is None:
        return {}
    schema = _value(spec.dtype)
    for length in reversed(spec.shape if batch else spec.shape[1:]):
        schema = {"type": "array", "items": schema}
        if length is not None:
            schema |= {"minItems": length, "maxItems": length}
    return schema


def _value(dtype: str) -> dict[str, Any]:
    if dtype == "string":
        b64 = {"type": "object", "properties": {"b64": _BINARY}, "required": ["b64"]}
        return {"anyOf": [{"type": "string"}, b64]}
    if dtype == "bool":
        return {"type": "boolean"}
    return {"type": "integer" if "int" in dtype else "number"}


_FEATURES = {"type": "object", "description": "Features by name: a value, or a list of them."}
_EXAMPLES = {
    "type": "object",
    "properties": {
        "signature_name": {"type": "string"},
        "context": _FEATURES,
        "examples": {"type": "array", "items": _FEATURES},
    },
    "required": ["examples"],
}
_RESULTS = {
    "type": "object",
    "properties": {"results": {"type": "array"}},
    "required": ["results"],
}


def _get(summary: str, parameters: Sequence[Any] = ()) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": list(parameters),
        "responses": _responses({"type": "object"}),
    }


def _post(summary: str, content: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": [],
        "requestBody": {"required": True, "content": content},
        "responses": _responses(answer, {VERSION_HEADER: _VERSION}),
    }


def _probe(summary: str) -> dict[str, Any]:
    text = {"text/plain": _content({"type": "string"})}
    return {
        "summary": summary,
        "responses": {
            "200": {"description": "Yes", "content": text},
            "503": {"description": "No", "content": text},
        },
        "security": [],
    }


def _responses(schema: dict[str, Any], headers: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = {"description": "The answer", "content": {_JSON: _content(schema)}}
    return {
        "200": answer | ({"headers": headers} if headers else {}),
        "default": {"description": "A refusal", "content": {_JSON: _content(_ERROR)}},
    }


def _content(schema: Any) -> dict[str, Any]:
    return {"schema": schema}


def _parameter(name: str, kind: str, where: str = "path") -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": {"type": kind}}
