"""The SavedModel of a network: stock operations only, ready for TensorFlow Serving."""

from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from stn_tf.errors import ExportError
from stn_tf.export.source.load import Source, load_network
from stn_tf.export.source.network import Network
from stn_tf.export.tensorflow import stock
from stn_tf.export.tensorflow.functions import ConcreteFunction
from stn_tf.export.tensorflow.image_decoding import decode_images
from stn_tf.export.tensorflow.stock_samplers import with_stock_samplers
from stn_tf.export.tensorflow.xla import without_xla


def saved_model(
    model: Source, path: Path | str, *, xla: bool = False, **declared: Any
) -> dict[str, tuple[str, ...]]:
    """Writes the SavedModel of a model into a new folder.

    Signatures: `serving_default`, the model's own outputs and what is derived from them for its
    task; `serving_bytes` (`image_bytes`, encoded images of any size -> the same), where image files
    can become the input; with spatial transformers also `localize` (-> `theta`, `corners`) and
    `rectify` (-> `crops`). The other signatures of a SavedModel stay as they are.

    Args:
        model: What `load_network` takes or returns, with any number of samplers.
        path: The folder.
        xla: Whether the server compiles with XLA: then samplers are gathers, because the faster
            operations have no XLA kernels everywhere.
        **declared: What `load_network` takes: `task`, `classes`, `input_range`, ...

    Returns:
        The names of the signatures and of their outputs.

    Raises:
        ExportError: If the model needs what TensorFlow Serving does not have.
    """
    network = load_network(model, **declared)
    names = signature_outputs(network)
    functions = {name: _signature(network, name, outputs) for name, outputs in names.items()}
    # What a loaded signature says comes sorted by name, though its names may not.
    others = {name: other for name, other in network.others.items() if name not in names}
    functions |= {name: without_xla(other) for name, other in others.items()}
    names |= {name: tuple(sorted(other.structured_outputs)) for name, other in others.items()}
    try:
        functions = {
            name: _named(function if xla else with_stock_samplers(function), names[name])
            for name, function in functions.items()
        }
        module = tf.Module()
        module.owner = network.owner
        # Only what the signatures read: no optimizer, no seeds of dropout.
        variables = {id(v): v for function in functions.values() for v in function.graph.variables}
        module.weights = list(variables.values())
        # Gradients of a user's own, which nobody asks of a served model, may not be saved at all:
        # those of Keras's swish hold tensors of the graph that it was traced in.
        gradients = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, str(path), signatures=functions, options=gradients)
    except (AssertionError, ValueError) as error:
        text = " ".join(str(error).split())
        raise ExportError(f"The model cannot be saved for TensorFlow Serving: {text}") from error
    check_stock(Path(path))
    return names


def signature_outputs(network: Network) -> dict[str, tuple[str, ...]]:
    """Returns the signatures that a network gets, and the names of their outputs."""
    names: dict[str, tuple[str, ...]] = {"serving_default": network.default_outputs}
    if network.samplers:
        names["localize"] = network.looks_named("theta", "corners")
        names["rectify"] = network.looks_named("crops")
    if network.interface.takes_images:
        names["serving_bytes"] = network.default_outputs
    return names


def _signature(network: Network, name: str, outputs: tuple[str, ...]) -> ConcreteFunction:
    """The inputs in order -> the outputs, in order."""
    if name != "serving_bytes":
        return network.function(outputs)
    image = network.interface.image

    def from_bytes(image_bytes: tf.Tensor) -> list[tf.Tensor]:
        found = network.answer({image.name: decode_images(image_bytes, image)})
        return [found[output] for output in outputs]

    spec = tf.TensorSpec([image.shape[0]], tf.string, name="image_bytes")
    function = tf.function(from_bytes, input_signature=[spec], autograph=False)
    return without_xla(function.get_concrete_function())


def _named(function: ConcreteFunction, names: tuple[str, ...]) -> ConcreteFunction:
    """The same with named outputs, as a signature must be."""
    captured = {id(inner) for _, inner in function.graph.captures}
    inputs = [tensor for tensor in function.graph.inputs if id(tensor) not in captured]
    specs = [tf.TensorSpec(t.shape, t.dtype, name=t.op.name) for t in inputs]

    def body(*values: tf.Tensor) -> dict[str, tf.Tensor]:
        here = tf.compat.v1.get_default_graph()
        for variable in function.graph.variables:
            here.watch_variable(variable)
        found = function(*values)
        flat = tf.nest.flatten(found)
        return dict(zip(names, flat, strict=True))

    return tf.function(body, input_signature=specs, autograph=False).get_concrete_function()


def check_stock(path: Path) -> None:
    """Raises ExportError if a SavedModel needs more than stock TensorFlow Serving has."""
    proto = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    for meta_graph in proto.meta_graphs:
        foreign = stock.foreign(op.name for op in meta_graph.meta_info_def.stripped_op_list.op)
        if foreign:
            raise ExportError(
                "The model uses operations that TensorFlow Serving does not have: "
                f"{', '.join(foreign)}. Write them in standard TensorFlow operations."
            )
        for name in stock.compiled(meta_graph.graph_def.library):
            raise ExportError(
                f"The model uses `jit_compile=True` in {name}, but TensorFlow Serving has XLA off, "
                "and the first request would fail. Remove it."
            )
