"""What a tf.data.Dataset is made of: whether its order can be repeated, and its place be saved."""

import collections
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

_IGNORE_STATE = 1  # tf.data's ExternalStatePolicy: the graph is only looked at.


def unseeded_operations(dataset: tf.data.Dataset) -> list[str]:
    """Returns what draws random numbers without a seed: `shuffle`, or names of operations.

    Functions that run Python cannot be looked into.
    """
    try:
        text = tf.raw_ops.DatasetToGraphV2(
            input_dataset=tf.data.experimental.to_variant(dataset),
            external_state_policy=_IGNORE_STATE,
        ).numpy()
        graph = tf.compat.v1.GraphDef.FromString(text)
    except (tf.errors.OpError, ValueError):
        return []  # Of captured objects that have no graph.
    bodies = [graph.node, *(function.node_def for function in graph.library.function)]
    found = collections.Counter(name for body in bodies for name in _unseeded(body))
    return [f"{name} ({count} times)" if count > 1 else name for name, count in found.items()]


def why_state_is_not_saved(dataset: tf.data.Dataset) -> str | None:
    """Returns why TensorFlow cannot save the state of the dataset's iterators; None if it can."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            checkpoint = tf.train.Checkpoint(iterator=iter(dataset))
            checkpoint.write(str(Path(folder) / "iterator"))
        except tf.errors.OpError as error:
            # "{{function_node ...}} PyFunc is stateful. [Op:SerializeIterator] name: "
            reason = error.message.rpartition("}} ")[2].partition(" [Op:")[0]
            return (reason.splitlines() or ["it cannot be saved"])[0].rstrip(".")
    return None


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
