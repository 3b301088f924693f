"""Bodies of REST's `:predict`: JSON to inputs, outputs to JSON.

A body is opened first, for the name of its signature; its inputs are read against that signature.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stn_tf.serving.protocol import json_writer, number_body
from stn_tf.serving.protocol.json_writer import write
from stn_tf.serving.protocol.nested_lists import is_base64, to_array
from stn_tf.serving.protocol.signature import Signature, TensorSpec
from stn_tf.serving.protocol.status import Status, invalid


@dataclass(frozen=True)
class Body:
    """A JSON object.

    Attributes:
        data: Its text.
        fields: Its values by name; arrays and objects may be unread.
        signature_name: Empty where it names none.
    """

    data: bytes
    fields: dict[str, Any]
    signature_name: str

    @cached_property
    def content(self) -> dict[str, Any]:
        """The object, read as Python's json reads it."""
        return {name: number_body.plain(value) for name, value in self.fields.items()}


def open_body(data: bytes) -> Body:
    """Parses a request's JSON.

    Raises:
        Status: INVALID_ARGUMENT, if it is too deep or no JSON object.
    """
    if not data:
        raise invalid("JSON Parse error: The document is empty")
    fields = number_body.parse(data)
    if fields is None:
        fields = _parse(data)
    name = fields.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid("'signature_name' key must be a string value.")
    return Body(data, fields, name)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except RecursionError:
        raise invalid("JSON Parse error: Lists are nested too deep.") from None
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except ValueError as error:  # Not Unicode, or an integer of thousands of digits.
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(content, dict):
        raise invalid("JSON Value is not formatted correctly: Is not object")
    return content


def predict_inputs(body: Body, signature: Signature) -> tuple[dict[str, np.ndarray], bool]:
    """Returns the inputs of a predict request, and whether it has rows (`instances`).

    Shapes are not held against the signature; TensorFlow Serving does not either.
    """
    specs = signature.inputs
    if len(specs) == 1:
        ((name, spec),) = specs.items()
        found = number_body.read(body.fields, body.data, name, spec.dtype)
        if found is not None:
            return {name: found[0]}, found[1]
    rows, columns = "instances" in body.content, "inputs" in body.content
    if rows and columns:
        raise invalid(
            "JSON Value is not formatted correctly: expecting only one of 'inputs' or 'instances' "
            "keys to exist"
        )
    if rows:
        return _read_rows(body.content["instances"], specs), True
    if columns:
        return _read_columns(body.content["inputs"], specs), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _read_rows(rows: Any, specs: Mapping[str, TensorSpec]) -> dict[str, np.ndarray]:
    if not isinstance(rows, list):
        raise invalid("Expecting 'instances' value to be a list/array")
    if not rows:
        raise invalid("No values in 'instances' array")
    if not _is_object(rows[0]):
        if len(specs) != 1:
            raise invalid(
                "instances is a plain list, but expecting list of objects as multiple input "
                "tensors required as per tensorinfo_map"
            )
        for index, row in enumerate(rows):
            if _is_object(row):
                raise invalid(f"Expecting value/list but got object at item {index} of input list")
        (name,) = specs
        return {name: to_array(rows, specs[name])}
    names = set(specs)
    for index, row in enumerate(rows):
        if not _is_object(row):
            raise invalid(f"Expecting object but got list at item {index} of input list")
        if row.keys() != names:
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: keys must "
                f"be equal to: {','.join(sorted(names))}"
            )
    return {name: _named(name, [row[name] for row in rows], spec) for name, spec in specs.items()}


def _read_columns(columns: Any, specs: Mapping[str, TensorSpec]) -> dict[str, np.ndarray]:
    if not _is_object(columns):
        if len(specs) != 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        (name,) = specs
        return {name: to_array(columns, specs[name])}
    for name in specs:
        if name not in columns:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _named(name, columns[name], spec) for name, spec in specs.items()}


def _named(name: str, value: Any, spec: TensorSpec) -> np.ndarray:
    try:
        return to_array(value, spec)
    except Status as error:
        raise Status(error.code, f"Failed to process key: {name}. Error: {error}") from None


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def predict_answer(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """Returns the JSON of `predictions` (rows) or `outputs`; one output goes without its name."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if rows:
        _check_batch(outputs)
    key = "predictions" if rows else "outputs"
    if rows and len(outputs) > 1:
        columns = [json_writer.rows(name, array) for name, array in outputs.items()]
        answer = [dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)]
        return write({key: answer})
    values = json_writer.tensors(outputs)
    return write({key: values if len(values) > 1 else next(iter(values.values()))})


def _check_batch(outputs: Mapping[str, np.ndarray]) -> None:
    batch: int | None = None
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if batch is not None and len(array) != batch:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {batch}"
            )
        batch = len(array)


def error_body(status: Status) -> bytes:
    """Returns the JSON of a refusal."""
    # A client's text, and what is no text in it, may be part of the message.
    return write({"error": status.message.encode(errors="replace").decode()})
