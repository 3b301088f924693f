"""SavedModels of TensorFlow 1 whose variables are references, which later graphs cannot hold."""

from pathlib import Path
from typing import Any

import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export.tensorflow.functions import ConcreteFunction

_REFERENCES = frozenset(("Variable", "VariableV2"))
NOTE = "The model is of TensorFlow 1: its variables become constants in all files."


def has_references(signatures: dict[str, ConcreteFunction]) -> bool:
    """Whether a signature reads a variable that is a reference."""
    return any(
        node.op in _REFERENCES
        for function in signatures.values()
        for graph in (function.graph.as_graph_def(),)
        for nodes in (graph.node, *(body.node_def for body in graph.library.function))
        for node in nodes
    )


def with_constants(folder: Path) -> dict[str, ConcreteFunction]:
    """Returns the signatures of a SavedModel with constants for its variables.

    Raises:
        ExportError: If it looks values up in tables, whose content is set outside of its graph.
    """
    compat: Any = tf.compat.v1
    with tf.Graph().as_default() as graph, compat.Session() as session:
        meta_graph = compat.saved_model.load(session, [tf.saved_model.SERVING], str(folder))
        tables = [op.name for op in graph.get_operations() if op.type.startswith("HashTable")]
        if tables:
            raise ExportError(
                f"The SavedModel, of TensorFlow 1, looks values up in a table (`{tables[0]}`). It "
                "cannot be brought along. Look them up before the model, and save it again."
            )
        signatures = {
            name: signature
            for name, signature in meta_graph.signature_def.items()
            if signature.outputs
        }
        frozen = {
            name: compat.graph_util.convert_variables_to_constants(
                session,
                graph.as_graph_def(),
                sorted({info.name.partition(":")[0] for info in signature.outputs.values()}),
            )
            for name, signature in signatures.items()
        }
    return {name: _function(frozen[name], signatures[name]) for name in signatures}


def _function(graph_def: Any, signature: Any) -> ConcreteFunction:
    """A graph without variables as a function of the signature's names."""
    imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])

    def tensor(info: Any) -> tf.Tensor:
        return imported.graph.as_graph_element(info.name)

    feeds = {name: tensor(info) for name, info in sorted(signature.inputs.items())}
    specs = {name: tf.TensorSpec(t.shape, t.dtype, name) for name, t in feeds.items()}
    function: ConcreteFunction = imported.prune(
        list(feeds.values()),
        {name: tensor(info) for name, info in signature.outputs.items()},
        input_signature=((), specs),
    )
    return function
