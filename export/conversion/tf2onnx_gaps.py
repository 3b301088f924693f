"""What tf2onnx 1.17 does not convert, or converts wrongly, that Keras's own layers need.

Each with the condition for its removal.
"""

from typing import Any

import numpy as np
from onnx import TensorProto

_SIGN = np.iinfo(np.int32).min


def erfc(ctx: Any, node: Any, name: str, args: Any) -> None:
    """`1 - erf(x)`: Keras's exact GELU (ConvNeXt, transformers). Remove when tf2onnx knows Erfc."""
    dtype, shape = ctx.get_dtype(node.output[0]), ctx.get_shape(node.output[0])
    source, output = node.input[0], node.output[0]
    ctx.remove_node(node.name)
    kind = _numpy_type(dtype)
    one = ctx.make_const(f"{name}_one", np.asarray(1.0, kind)).output[0]
    erf = ctx.make_node("Erf", [source], shapes=[shape], dtypes=[dtype]).output[0]
    ctx.make_node("Sub", [one, erf], name=name, outputs=[output], shapes=[shape], dtypes=[dtype])


def bitcast(ctx: Any, node: Any, name: str, args: Any) -> None:
    """The sign bit of a float32 as an int32: Keras's `argmax` and `signbit` tell -0 from 0 by it.

    Of all that the bits of a number may be read for, the sign alone has operations in ONNX: 1 / -0
    is minus infinity. Remove when ONNX and tf2onnx know Bitcast.
    """
    from tf2onnx import utils

    source, output = node.input[0], node.output[0]
    shape = ctx.get_shape(output)
    floats, whole = TensorProto.FLOAT, TensorProto.INT32
    masks = [n for n in ctx.find_output_consumers(output) if n.type == "BitwiseAnd"]
    fits = (ctx.get_dtype(source), ctx.get_dtype(output)) == (floats, whole) and masks
    if not fits or any(
        not any(i.is_const() and np.all(i.get_tensor_value(False) == _SIGN) for i in mask.inputs)
        for mask in masks
    ):
        raise ValueError(
            f"`{name}` reads the bits of numbers (Bitcast), of which ONNX has the sign of a "
            "float32 alone. Compute it with arithmetic."
        )
    ctx.remove_node(node.name)

    def add(op: str, *inputs: str, dtype: int, **choices: Any) -> str:
        made = ctx.make_node(op, list(inputs), shapes=[shape], dtypes=[dtype], **choices)
        return str(made.output[0])

    def constant(value: Any) -> str:
        return str(ctx.make_const(utils.make_name(name), np.asarray(value)).output[0])

    zero = constant(np.float32(0))
    below = add("Less", source, zero, dtype=TensorProto.BOOL)
    inverse = add("Div", constant(np.float32(1)), source, dtype=floats)
    infinite = add("Less", inverse, zero, dtype=TensorProto.BOOL)
    negative = add("Or", below, infinite, dtype=TensorProto.BOOL)
    signs = (constant(np.int32(_SIGN)), constant(np.int32(0)))
    add("Where", negative, *signs, dtype=whole, outputs=[output], name=name)
    for mask in masks:  # There are no other bits, and older opsets lack the operation.
        mask.type = "Identity"
        ctx.replace_inputs(mask, [output])


HANDLERS = {"Erfc": erfc, "Bitcast": bitcast}


def transposes() -> Any:
    """Returns the optimiser of transposes, for scalars added to convolutions too.

    It looks for the longest side of a bias and fails where there is none: hard swish behind a
    convolution without bias, as in MobileNetV3. Remove when it asks for the rank first.
    """
    from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

    class Transposes(TransposeOptimizer):
        def _add_handler(self, trans: Any, node: Any) -> Any:
            added = node.inputs[1]
            if added.is_const() and added.get_tensor_value(as_list=False).ndim == 0:
                return self._handle_node_having_branches(trans, node)
            return super()._add_handler(trans, node)

    return Transposes()


def _numpy_type(dtype: int) -> Any:
    from tf2onnx import utils

    return utils.map_onnx_to_numpy_type(dtype)
