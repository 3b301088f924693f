"""The document of the REST API, against its specification and against real answers."""

import json

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

PREDICT = "/v1/models/small:predict"


@pytest.fixture
def document(server):
    status, found = server.call("/openapi.json")
    assert status == 200
    return found


def operation(document, path, verb="post"):
    return document["paths"][path][verb]


def json_schema(part):
    return part["content"]["application/json"]["schema"]


def test_it_is_openapi(document):
    validate(document, cls=OpenAPIV31SpecValidator)
    broken = json.loads(json.dumps(document))
    del broken["paths"]["/v1/models/small/versions/{version}:predict"]["post"]["parameters"]
    with pytest.raises(Exception, match="version"):
        validate(broken, cls=OpenAPIV31SpecValidator)


@pytest.mark.parametrize("signature", ["serving_default", "localize", "rectify"])
def test_requests_and_answers_are_as_described(signature, server, document, pictures):
    predict = operation(document, PREDICT)
    request = json_schema(predict["requestBody"])
    answer = json_schema(predict["responses"]["200"])
    rows = {"signature_name": signature, "instances": pictures.tolist()}
    columns = {"signature_name": signature, "inputs": {"images": pictures.tolist()}}
    for body in (rows, columns):
        jsonschema.validate(body, request)
        status, found = server.call(PREDICT, body)
        assert status == 200
        jsonschema.validate(found, answer)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"instances": [[[1.0]]]},
        {"instances": 1},
        {"signature_name": "other", "instances": []},
        {"instances": [], "inputs": []},
    ],
)
def test_what_the_server_refuses_is_not_described(body, server, document):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, json_schema(operation(document, PREDICT)["requestBody"]))
    status, found = server.call(PREDICT, body)
    assert status == 400
    jsonschema.validate(found, document["components"]["schemas"]["Error"])


def test_every_path_answers(server, document, pictures):
    for path, operations in document["paths"].items():
        url = path.replace("{version}", "3").replace("{label}", "none")
        for verb, described in operations.items():
            body = {"instances": pictures.tolist()} if verb == "post" else None
            status, _ = server.call(url, body)
            assert status == (400 if "{label}" in path else 200), url
            assert str(status) in described["responses"] or "default" in described["responses"]
    content = operation(document, PREDICT)["requestBody"]["content"]
    assert set(content) == {"application/json", "application/x-npy", "image/jpeg", "image/png"}
