"""Outputs of signatures for examples, checked in TensorFlow Serving's words, as typed results."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from stn_tf.serving.protocol import messages
from stn_tf.serving.protocol.signature import Signature
from stn_tf.serving.protocol.status import Status, invalid
from stn_tf.serving.protocol.tensors import array_dtype, dtype_number

CLASSES = "classes"
SCORES = "scores"
OUTPUTS = "outputs"

_TYPES = {number: name for name, number in messages.DataType.items()}


def classification_outputs(signature: Signature) -> list[str]:
    """Returns which outputs make up a `ClassificationResult`: classes, scores or both.

    Raises:
        Status: If the signature has neither, or more than two outputs.
    """
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    found = [name for name in (CLASSES, SCORES) if name in signature.outputs]
    if not found:
        raise Status(
            "FAILED_PRECONDITION",
            f'Expected classification signature outputs to contain at least one of "{CLASSES}" or '
            f'"{SCORES}". Signature was: {describe(signature)}',
        )
    return found


def classification_result(outputs: Mapping[str, np.ndarray], count: int) -> Any:
    """Returns the `ClassificationResult` of `count` examples.

    Args:
        outputs: `classes` (strings), `scores` (float32) or both, `[count, classes]`.
        count: How many examples there were.

    Raises:
        Status: INVALID_ARGUMENT, if the outputs are of other types or shapes.
    """
    for name, dtype in ((CLASSES, "string"), (SCORES, "float32")):
        if name in outputs:
            _check_matrix(name, outputs[name], dtype, count)
    widths = [value.shape[1] for value in outputs.values()]
    if len(set(widths)) > 1:
        raise invalid(
            "Tensors class and score should match in dim_size(1). Got "
            f"{outputs[CLASSES].shape[1]} vs. {outputs[SCORES].shape[1]}"
        )
    shape = (count, widths[0])
    labels = outputs.get(CLASSES, np.full(shape, b"", object))
    scores = outputs.get(SCORES, np.zeros(shape, np.float32))
    result = messages.ClassificationResult()
    for row, values in zip(labels.tolist(), scores.tolist(), strict=True):
        classes = result.classifications.add().classes
        for label, score in zip(row, values, strict=True):
            classes.add(label=_text(label), score=score)
    return result


def regression_outputs(signature: Signature) -> list[str]:
    """Returns which output makes up a `RegressionResult`.

    Raises:
        Status: If the signature has other outputs than `outputs`.
    """
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if OUTPUTS not in signature.outputs:
        raise Status(
            "FAILED_PRECONDITION",
            f"No regression outputs found in SignatureDef: {describe(signature)}",
        )
    return [OUTPUTS]


def regression_result(outputs: Mapping[str, np.ndarray], count: int) -> Any:
    """Returns the `RegressionResult` of `count` examples.

    Args:
        outputs: `outputs`, `[count]` or `[count, 1]`, float32.
        count: How many examples there were.

    Raises:
        Status: INVALID_ARGUMENT, if the output is of another type or shape.
    """
    values = outputs[OUTPUTS]
    if values.ndim != 1 and (values.ndim != 2 or values.shape[1] != 1):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{_shape(values)}"
        )
    if len(values) != count:
        raise invalid(
            f"Input batch size did not match output batch size: {count} vs. {len(values)}"
        )
    if array_dtype(values) != "float32":
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_type(array_dtype(values))}")
    result = messages.RegressionResult()
    for value in values.ravel().tolist():
        result.regressions.add(value=value)
    return result


def describe(signature: Signature) -> str:
    """Returns the inputs and outputs of a signature, for messages."""
    inputs, outputs = ",".join(signature.inputs), ",".join(signature.outputs)
    return f"inputs {{{inputs}}}, outputs {{{outputs}}}"


def _check_matrix(name: str, values: np.ndarray, dtype: str, count: int) -> None:
    if values.ndim != 2:
        raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(values)}")
    if array_dtype(values) != dtype:
        raise invalid(
            f"Expected {name} Tensor of {_type(dtype)}. Got: {_type(array_dtype(values))}"
        )
    if len(values) != count:
        raise invalid(f"Expected {name} output batch size of {count}. Got: {len(values)}")


def _text(label: bytes) -> str:
    try:
        return label.decode()
    except UnicodeDecodeError:
        raise invalid(f"Expected classes Tensor of UTF-8 strings. Got: {label!r}") from None


def _shape(values: np.ndarray) -> str:
    return f"[{','.join(map(str, values.shape))}]"


def _type(dtype: str) -> str:
    return _TYPES[dtype_number(dtype)]
