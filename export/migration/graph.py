"""Edits the graph of a SavedModel: compiled samplers out, functions of stock operations in."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator

import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, function_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.framework import op_def_registry

from stn_tf.errors import ExportError
from stn_tf.export.migration.resampler_nodes import SAMPLERS, Sampler, definitions, sampler_of
from stn_tf.export.tensorflow.stock import PYTHON_OPERATIONS


@dataclasses.dataclass
class Migrated:
    """What was done to a graph.

    Attributes:
        replaced: How many nodes of each operation.
        samplers: The different samplers among them.
    """

    replaced: Counter[str] = dataclasses.field(default_factory=Counter)
    samplers: set[Sampler] = dataclasses.field(default_factory=set)


def scopes(
    meta_graph: meta_graph_pb2.MetaGraphDef,
) -> Iterator[tuple[str, Iterable[node_def_pb2.NodeDef]]]:
    """Yields the nodes of the main graph, named "", and of each function of the library."""
    yield "", meta_graph.graph_def.node
    for function in meta_graph.graph_def.library.function:
        yield function.signature.name, function.node_def


def refuse_foreign(meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Raises ExportError if anything but the samplers is missing in a stock TensorFlow."""
    functions = {function.signature.name for function in meta_graph.graph_def.library.function}
    for scope, nodes in scopes(meta_graph):
        for node in nodes:
            place = f"`{node.name}`" + (f" in the function {scope}" if scope else "")
            if node.op in PYTHON_OPERATIONS:
                raise ExportError(
                    f"The model calls Python ({node.op}, {place}), which no file holds. Write "
                    "that part in TensorFlow operations and save the model again."
                )
            if node.op not in (*SAMPLERS, *functions) and not _is_stock(node.op):
                raise ExportError(
                    f"The model uses {node.op} ({place}), which is neither in stock TensorFlow "
                    f"nor a sampler that can be replaced ({', '.join(SAMPLERS)}). Write that part "
                    "in TensorFlow operations and save the model again."
                )


def replace_samplers(meta_graph: meta_graph_pb2.MetaGraphDef) -> Migrated:
    """Turns every compiled sampler into a call of a function of stock operations."""
    done = Migrated()
    library = meta_graph.graph_def.library
    known = [(meta_graph.graph_def.node, _shapes(meta_graph.graph_def.node))]
    known += [(f.node_def, _shapes(f.node_def) | _argument_shapes(f)) for f in library.function]
    for nodes, shapes in known:
        for node in nodes:
            if node.op not in SAMPLERS:
                continue
            images, points = (shapes.get(name, tf.TensorShape(None)) for name in node.input[:2])
            sampler = sampler_of(node, images, points)
            done.replaced[node.op] += 1
            done.samplers.add(sampler)
            _call(node, sampler)
    for sampler in sorted(done.samplers, key=lambda one: one.name):
        library.function.extend(definitions(sampler))
    _list_operations(meta_graph)
    return done


def _call(node: node_def_pb2.NodeDef, sampler: Sampler) -> None:
    """The output of every sampler is called `output`, as that of a call: references stay valid."""
    kept = {name: value for name, value in node.attr.items() if name.startswith("_")}
    values = {name: attr_value_pb2.AttrValue() for name in kept}
    for name, value in values.items():
        value.CopyFrom(kept[name])
    node.op = "PartitionedCall"
    node.attr.clear()
    for name, value in values.items():
        node.attr[name].CopyFrom(value)
    node.attr["Tin"].list.type.extend(
        [sampler.dtype.as_datatype_enum, sampler.points.as_datatype_enum]
    )
    node.attr["Tout"].list.type.append(sampler.dtype.as_datatype_enum)
    node.attr["f"].func.name = sampler.name
    for name in ("config", "config_proto", "executor_type"):
        node.attr[name].s = b""
    if "_output_shapes" not in node.attr and sampler.output_shape.rank is not None:
        node.attr["_output_shapes"].list.shape.append(sampler.output_shape.as_proto())


def _shapes(nodes: Iterable[node_def_pb2.NodeDef]) -> dict[str, tf.TensorShape]:
    """What a graph says of the shapes of its tensors, by every name that an input may have."""
    found = {}
    for node in nodes:
        shapes = node.attr["_output_shapes"].list.shape if "_output_shapes" in node.attr else []
        names = _outputs(node.op)
        for index, shape in enumerate(map(tf.TensorShape, shapes)):
            if index == 0:
                found[node.name] = shape
            found[f"{node.name}:{index}"] = shape  # In a main graph.
            # In a function: an output that is a list, or as many as there are shapes.
            if len(names) == 1:
                found[f"{node.name}:{names[0]}:{index}"] = shape
            elif len(names) == len(shapes):
                found[f"{node.name}:{names[index]}:0"] = shape
    return found


def _argument_shapes(function: function_pb2.FunctionDef) -> dict[str, tf.TensorShape]:
    found = {}
    # TensorFlow before 2.4 knew the first of the two only. Reading an absent key would add it.
    if "_input_shapes" in function.attr:
        shapes = function.attr["_input_shapes"].list.shape
        for argument, shape in zip(function.signature.input_arg, shapes, strict=False):
            found[argument.name] = tf.TensorShape(shape)
    for index, attributes in function.arg_attr.items():
        if "_output_shapes" in attributes.attr:
            (shape,) = attributes.attr["_output_shapes"].list.shape
            found[function.signature.input_arg[index].name] = tf.TensorShape(shape)
    return found


def _outputs(op: str) -> list[str]:
    definition = op_def_registry.get(op)
    return [] if definition is None else [output.name for output in definition.output_arg]


def _is_stock(op: str) -> bool:
    # `tf.raw_ops` lists what is in the wheel, not what was loaded into this process; names with an
    # underscore are TensorFlow's own.
    return hasattr(tf.raw_ops, op) or (op.startswith("_") and op_def_registry.get(op) is not None)


def _list_operations(meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
    """The list of operations, by which runtimes tell whether they can load the graph."""
    used = {node.op for _, nodes in scopes(meta_graph) for node in nodes}
    listed = meta_graph.meta_info_def.stripped_op_list.op
    kept = {op.name: op for op in listed if op.name in used}
    for name in used - set(kept):
        definition = op_def_registry.get(name)
        if definition is not None:  # Else it is the name of a function.
            kept[name] = definition
    ordered = [kept[name] for name in sorted(kept)]
    del listed[:]
    listed.extend(ordered)
