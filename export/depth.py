"""How deep the network is that computes a tensor."""

import tensorflow as tf

# What sums many products, and so rounds.
_SUMS = {
    "Conv2D",
    "Conv2DBackpropInput",
    "Conv3D",
    "Conv3DBackpropInputV2",
    "DepthwiseConv2dNative",
    "Einsum",
    "BatchMatMulV2",
    "MatMul",
}


def depth_of(tensor: tf.Tensor) -> int:
    """Returns how many convolutions and matrix products lead to a tensor, one after the other.

    Args:
        tensor: Of a graph. What is in functions that the graph calls is not counted.
    """
    depths: dict[str, int] = {}
    waiting = [tensor.op]
    while waiting:
        op = waiting[-1]
        before = [value.op for value in op.inputs]
        missing = [other for other in before if other.name not in depths]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        own = int(op.type in _SUMS)
        depths[op.name] = own + max((depths[other.name] for other in before), default=0)
    return depths[tensor.op.name]
