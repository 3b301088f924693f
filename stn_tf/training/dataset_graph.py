"""What a tf.data.Dataset is made of: whether its order can be repeated, and its place be saved."""

import collections
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

# tf.data's ExternalStatePolicy, of what is written down of a dataset.
_IGNORE_STATE, _FAIL_ON_STATE = 1, 2


def unseeded_operations(dataset: tf.data.Dataset) -> list[str]:
    """Returns what draws random numbers without a seed: `shuffle`, or names of operations.

    Functions that run Python cannot be looked into.
    """
    bodies = _bodies(dataset)
    found = collections.Counter(name for body in bodies for name in _unseeded(body))
    return [f"{name} ({count} times)" if count > 1 else name for name, count in found.items()]


def operations(dataset: tf.data.Dataset) -> str:
    """Returns the names of the operations of a dataset, by which another one is told from it."""
    return " ".join(node.op for node in next(iter(_bodies(dataset)), ()))


def why_state_is_not_saved(dataset: tf.data.Dataset) -> str | None:
    """Returns why TensorFlow cannot save the state of the dataset's iterators; None if it can.

    It makes no iterator to try: the orders of `shuffle` are drawn when one is made, from one state
    of the dataset, so that what comes next would be another.
    """
    try:
        _graph_text(dataset, _FAIL_ON_STATE)
    except (tf.errors.OpError, ValueError) as error:
        # "{{...}} Failed to serialize ...: PyFunc is stateful. [Op:DatasetToGraphV2] name: "
        reason = str(error).partition(" [Op:")[0].rpartition(": ")[2].rpartition("}} ")[2]
        return (reason.splitlines() or ["it cannot be written down"])[0].rstrip(".")
    return None


def _bodies(dataset: tf.data.Dataset) -> list[Any]:
    """Returns the operations of a dataset, and those of each function that it calls."""
    try:
        text = _graph_text(dataset, _IGNORE_STATE)
    except (tf.errors.OpError, ValueError):
        return []  # Of captured objects that cannot be written down.
    graph = tf.compat.v1.GraphDef.FromString(text)
    return [graph.node, *(function.node_def for function in graph.library.function)]


def _graph_text(dataset: tf.data.Dataset, policy: int) -> bytes:
    variant = tf.data.experimental.to_variant(dataset)
    text = tf.raw_ops.DatasetToGraphV2(input_dataset=variant, external_state_policy=policy)
    return bytes(text.numpy())


def _unseeded(nodes: Any) -> Iterator[str]:
    by_name = {node.name: node for node in nodes}
    for node in nodes:
        if "seed" in node.attr and "seed2" in node.attr:
            if not node.attr["seed"].i and not node.attr["seed2"].i:
                yield node.op
        elif node.op.startswith("Shuffle"):
            # Input 2 and 3 are the seeds, of this operation as of those that fuse it with others.
            seeds = [by_name.get(name.partition(":")[0]) for name in node.input[2:4]]
            if all(seed is not None and _is_zero(seed) for seed in seeds):
                yield "shuffle"


def _is_zero(node: Any) -> bool:
    if node.op != "Const" or node.attr["dtype"].type != tf.int64.as_datatype_enum:
        return False
    return not tf.make_ndarray(node.attr["value"].tensor).any()
