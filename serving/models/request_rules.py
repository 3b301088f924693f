"""What a request must fulfil before a signature is computed, in TensorFlow Serving's words."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from stn_tf.serving.protocol.signature import Signature, TensorSpec
from stn_tf.serving.protocol.status import invalid
from stn_tf.serving.protocol.tensors import array_dtype


def check_inputs(
    signature: Signature, inputs: Mapping[str, np.ndarray], strict_shapes: bool
) -> None:
    """Checks names and types, and shapes only if `strict_shapes`, as TensorFlow Serving does not.

    Raises:
        Status: INVALID_ARGUMENT, if an input is missing, unknown or of another type or shape.
    """
    wanted, given = set(signature.inputs), set(inputs)
    if wanted != given:
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(wanted)} "
            f"len({_set(given)}) != len({_set(wanted)}). Sent extra: {_set(given - wanted)}. "
            f"Missing but required: {_set(wanted - given)}."
        )
    for name, spec in signature.inputs.items():
        dtype = array_dtype(inputs[name])
        if dtype != spec.dtype:
            raise invalid(f"input {name} must be {spec.dtype}, but it is {dtype}.")
        if strict_shapes:
            _check_shape(spec, inputs[name].shape)


def _check_shape(spec: TensorSpec, shape: tuple[int, ...]) -> None:
    if spec.shape is None:
        return
    fits = len(shape) == len(spec.shape) and all(
        wanted in (None, length) for wanted, length in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        wanted = [-1 if length is None else length for length in spec.shape]
        raise invalid(
            f"input {spec.name} must have shape {wanted}, but it has shape {list(shape)}. Send "
            "that shape, or serve without --strict-shapes."
        )


def check_outputs(signature: Signature, names: Sequence[str]) -> None:
    """Checks an output filter.

    Raises:
        Status: INVALID_ARGUMENT, if an output is unknown or repeated.
    """
    seen: set[str] = set()
    for name in names:
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {_set(signature.outputs)}."
            )
        if name in seen:
            raise invalid(f"duplicate output tensor alias: {name}")
        seen.add(name)


def _set(names: Iterable[str]) -> str:
    return f"{{{','.join(sorted(names))}}}"
