"""What tf2onnx 1.17 does not convert, or converts wrongly, that Keras's own layers need.

Each with the condition for its removal.
"""

from typing import Any

import numpy as np


def erfc(ctx: Any, node: Any, name: str, args: Any) -> None:
    """`1 - erf(x)`: Keras's exact GELU (ConvNeXt, transformers). Remove when tf2onnx knows Erfc."""
    dtype, shape = ctx.get_dtype(node.output[0]), ctx.get_shape(node.output[0])
    source, output = node.input[0], node.output[0]
    ctx.remove_node(node.name)
    kind = _numpy_type(dtype)
    one = ctx.make_const(f"{name}_one", np.asarray(1.0, kind)).output[0]
    erf = ctx.make_node("Erf", [source], shapes=[shape], dtypes=[dtype]).output[0]
    ctx.make_node("Sub", [one, erf], name=name, outputs=[output], shapes=[shape], dtypes=[dtype])


HANDLERS = {"Erfc": erfc}


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
