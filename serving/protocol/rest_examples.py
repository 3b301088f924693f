"""Bodies of REST's `:classify` and `:regress`: examples in, results out."""

from typing import Any

import numpy as np

from stn_tf.serving.protocol.json_writer import tensor, write
from stn_tf.serving.protocol.messages import Example, Input
from stn_tf.serving.protocol.nested_lists import decode_base64, is_base64
from stn_tf.serving.protocol.rest_body import Body
from stn_tf.serving.protocol.status import invalid

_INT64 = range(-(1 << 63), 1 << 63)
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


def example_input(body: Body) -> Any:
    """Returns the `Input` message of a classify or regress body."""
    message = Input()
    examples = body.content.get("examples")
    if "examples" not in body.content:
        raise invalid(
            "JSON Value is not formatted correctly: key 'examples' is expected and was not found"
        )
    if not isinstance(examples, list):
        raise invalid("Expecting 'examples' value to be a list/array")
    if not examples:
        raise invalid("'examples' value is an empty array")
    found = [_example(example) for example in examples]
    if "context" in body.content:
        message.example_list_with_context.context.CopyFrom(_example(body.content["context"]))
        message.example_list_with_context.examples.extend(found)
    else:
        message.example_list.examples.extend(found)
    return message


def _example(value: Any) -> Any:
    if not isinstance(value, dict):
        raise invalid("Example must be JSON object")
    example = Example()
    example.features.SetInParent()
    for name, content in value.items():
        feature = example.features.feature[_utf8(name).decode()]
        for item in content if isinstance(content, list) else [content]:
            kind, converted = _converted(name, item)
            if feature.WhichOneof("kind") not in (None, kind):
                raise invalid(
                    f"Unexpected element type in feature: {name} expecting type: "
                    f"{feature.WhichOneof('kind').removesuffix('_list')}"
                )
            getattr(feature, kind).value.append(converted)
    return example


def _converted(name: str, item: Any) -> tuple[str, Any]:
    if isinstance(item, str):
        return "bytes_list", _utf8(item)
    if is_base64(item):
        return "bytes_list", decode_base64(item)
    if isinstance(item, int):
        if int(item) not in _INT64:
            raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
        return "int64_list", int(item)
    if isinstance(item, float):
        if np.isfinite(item) and abs(item) > _LARGEST_FLOAT:
            raise invalid(f"Feature: {name} has an element that does not fit a float.")
        return "float_list", item
    kind = {"dict": "Object", "list": "Array"}.get(type(item).__name__, "Null")
    raise invalid(f"Feature: {name} has element with unexpected JSON type: {kind}")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None


def classify_answer(result: Any) -> bytes:
    """Returns the JSON of a `ClassificationResult`: lists of `[label, score]`."""
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    return write(
        {
            "results": [
                [[one.label, _float(one.score)] for one in classes.classes]
                for classes in result.classifications
            ]
        }
    )


def regress_answer(result: Any) -> bytes:
    """Returns the JSON of a `RegressionResult`: a list of numbers."""
    if not result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    return write({"results": [_float(one.value) for one in result.regressions]})


def _float(value: float) -> Any:
    return tensor("", np.array(value, np.float32))
