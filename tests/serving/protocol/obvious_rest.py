"""Predict bodies read in the most obvious way, and whether the package reads them so too."""

import base64
import json
from typing import Any

import numpy as np

from stn_tf.serving.protocol import rest_body
from stn_tf.serving.protocol.signature import PREDICT, Signature, TensorSpec
from stn_tf.serving.protocol.status import Status

MAX_RANK = 32
INPUTS = (
    {"x": "float32"},
    {"x": "float64"},
    {"x": "int64"},
    {"x": "uint8"},
    {"x": "uint64"},
    {"x": "string"},
    {"x": "bool"},
    {"x": "float32", "y": "string"},
)


def agree(data: bytes) -> bool:
    """Holds the package against `read`, for inputs of many types; says whether any was accepted.

    Raises:
        AssertionError: If they do not agree.
        Exception: If the package refuses with anything but a Status.
    """
    accepted = [_agrees(data, dtypes) for dtypes in INPUTS]
    return any(accepted)


def _agrees(data: bytes, dtypes: dict[str, str]) -> bool:
    specs = {name: TensorSpec(name, dtype, None) for name, dtype in dtypes.items()}
    try:
        body = rest_body.open_body(data)
        inputs, rows = rest_body.predict_inputs(body, Signature(PREDICT, specs, {}))
    except Status:
        inputs, rows = None, False
    try:
        expected, expected_rows = read(data, dtypes)
    except (ValueError, RecursionError, OverflowError):
        assert inputs is None, f"{dtypes}: accepted"
        return False
    assert inputs is not None, f"{dtypes}: refused"
    assert rows == expected_rows
    assert inputs.keys() == expected.keys()
    for name, found in inputs.items():
        wanted = expected[name]
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert repr(found.tolist()) == repr(wanted.tolist()), f"{dtypes}: {found} is not {wanted}"
    return True


def read(data: bytes, dtypes: dict[str, str]) -> tuple[dict[str, np.ndarray], bool]:
    """Returns the inputs by name, and whether they came as rows.

    Args:
        data: A body.
        dtypes: The type of each input.

    Raises:
        ValueError: If the body is to be refused; OverflowError and RecursionError too.
    """
    content = json.loads(data)
    demand(isinstance(content, dict))
    demand(isinstance(content.get("signature_name", ""), str))
    demand(("instances" in content) != ("inputs" in content))
    if "inputs" in content:
        given = content["inputs"]
        if not is_object(given):
            demand(len(dtypes) == 1)
            given = dict.fromkeys(dtypes, given)
        demand(dtypes.keys() <= given.keys())
        return {name: array(given[name], dtype) for name, dtype in dtypes.items()}, False
    rows = content["instances"]
    demand(isinstance(rows, list) and len(rows) > 0)
    if not is_object(rows[0]):
        demand(len(dtypes) == 1)
        demand(not any(map(is_object, rows)))
        return {name: array(rows, dtype) for name, dtype in dtypes.items()}, True
    for row in rows:
        demand(is_object(row) and row.keys() == dtypes.keys())
    return {n: array([row[n] for row in rows], dtype) for n, dtype in dtypes.items()}, True


def demand(condition: bool) -> None:
    if not condition:
        raise ValueError


def is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def is_base64(value: Any) -> bool:
    return isinstance(value, dict) and list(value) == ["b64"] and isinstance(value["b64"], str)


def array(value: Any, dtype: str) -> np.ndarray:
    shape = shape_of(value)
    demand(len(shape) <= MAX_RANK)
    result = np.empty(shape, object if dtype == "string" else dtype)
    for place in np.ndindex(shape):
        one = value
        for index in place:
            one = one[index]
        result[place] = leaf(one, dtype)
    return result


def shape_of(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        return ()
    shapes = {shape_of(part) for part in value}
    demand(len(shapes) <= 1)
    return (len(value), *(shapes.pop() if shapes else ()))


def leaf(value: Any, dtype: str) -> Any:
    if dtype == "string":
        demand(isinstance(value, str) or is_base64(value))
        if isinstance(value, str):
            return value.encode()
        text = value["b64"]
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    if dtype == "bool":
        demand(isinstance(value, bool))
        return value
    demand(isinstance(value, int | float) and not isinstance(value, bool))
    if np.dtype(dtype).kind != "f":
        demand(isinstance(value, int))
        demand(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)
        return value
    demand(isinstance(value, float) or abs(value) < 1 << np.finfo(dtype).nmant + 1)
    with np.errstate(over="ignore"):
        number = np.dtype(dtype).type(value)
    demand(bool(np.isfinite(number)) == bool(np.isfinite(value)))
    return number
