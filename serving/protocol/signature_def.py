"""`SignatureDef` messages to signatures."""

import contextlib
from collections.abc import Mapping
from typing import Any

from stn_tf.serving.protocol.signature import Signature, TensorSpec
from stn_tf.serving.protocol.status import Status
from stn_tf.serving.protocol.tensors import dtype_name


def read_signatures(definitions: Mapping[str, Any]) -> dict[str, Signature]:
    """Returns the signatures that can be asked for, by name.

    Left out are TensorFlow's own, such as `__saved_model_init_op`, and those of types that are not
    sent.
    """
    found = {}
    for name, definition in sorted(definitions.items()):
        # Without a name it is an encoding of sparse or ragged tensors; those without a method
        # are TensorFlow's own.
        infos = [*definition.inputs.values(), *definition.outputs.values()]
        if definition.method_name and all(info.name for info in infos):
            with contextlib.suppress(Status):
                found[name] = Signature(
                    definition.method_name, _specs(definition.inputs), _specs(definition.outputs)
                )
    return found


def _specs(infos: Mapping[str, Any]) -> dict[str, TensorSpec]:
    found = {}
    for name, info in sorted(infos.items()):
        lengths = tuple(dim.size if dim.size >= 0 else None for dim in info.tensor_shape.dim)
        shape = None if info.tensor_shape.unknown_rank else lengths
        found[name] = TensorSpec(name, dtype_name(info.dtype), shape)
    return found
