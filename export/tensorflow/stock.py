"""What a stock TensorFlow Serving runs, and what it does not.

It links its operations statically, has no Python, and starts with XLA off.
"""

from collections.abc import Iterable, Iterator, Mapping

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, function_pb2

# Operations of TensorFlow that call back into the Python that defined them.
PYTHON_OPERATIONS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
MUST_COMPILE = "_XlaMustCompile"


def foreign(operations: Iterable[str]) -> list[str]:
    """Returns which operations it does not have, sorted."""
    # `tf.raw_ops` lists what is in the wheel, not what was loaded into this process.
    return sorted(op for op in operations if not hasattr(tf.raw_ops, op) or op in PYTHON_OPERATIONS)


def compiled(library: function_pb2.FunctionDefLibrary) -> Iterator[str]:
    """Yields the functions that must be compiled by XLA, by name."""
    for function in library.function:
        if any(map(must_compile, (function.attr, *(node.attr for node in function.node_def)))):
            yield function.signature.name


def must_compile(attributes: Mapping[str, attr_value_pb2.AttrValue]) -> bool:
    """Whether the attributes of a function or a node say so."""
    return MUST_COMPILE in attributes and attributes[MUST_COMPILE].b
