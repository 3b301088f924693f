"""Finds the samplers in a TensorFlow graph, by the annotations that they leave there.

A sampler is a function of the graph's library with the attribute `_implements`: `grid_sample`
takes images and a grid, and a `warp` by matrices, which has a `grid_sample` inside, images and
matrices. Whatever the body of such a function is, it may be replaced by another that computes the
same: a carrier for a converter, or faster operations for a SavedModel.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import tensorflow as tf
from tensorflow.core.framework import function_pb2, graph_pb2

from stn_tf.export.sampler_spec import SamplerSpec
from stn_tf.export.tensorflow.functions import ConcreteFunction, with_graph
from stn_tf.sampling.grid_sample import IMPLEMENTS as GRID_SAMPLE
from stn_tf.sampling.warp import IMPLEMENTS as WARP


@dataclasses.dataclass(frozen=True)
class SamplerFunction:
    """An annotated function in a graph's library.

    Attributes:
        spec: What it samples, and how.
        transform: Of a warp, the family of its matrices; None for a `grid_sample`.
        function: Images and points, or matrices, are its arguments, samples its only output.
    """

    spec: SamplerSpec
    transform: str | None
    function: function_pb2.FunctionDef

    def argument_shape(self, index: int) -> tf.TensorShape:
        """Returns what is known of the shape of an argument."""
        shapes = self.function.arg_attr[index].attr["_output_shapes"].list.shape
        return tf.TensorShape(shapes[0]) if shapes else tf.TensorShape(None)

    def argument_dtype(self, index: int) -> tf.DType:
        """Returns the type of an argument."""
        return tf.as_dtype(self.function.signature.input_arg[index].type)


# Returns the new body of a sampler: a function with the same arguments and output, or None where
# it shall stay as it is.
NewBody: TypeAlias = Callable[[SamplerFunction], function_pb2.FunctionDef | None]


def samplers_in(library: function_pb2.FunctionDefLibrary) -> Iterator[SamplerFunction]:
    """Yields the samplers of a library; a warp comes beside the `grid_sample` inside it."""
    for function in library.function:
        text = function.attr["_implements"].s.decode() if "_implements" in function.attr else ""
        name, _, options = text.partition(" ")
        if name not in (GRID_SAMPLE, WARP):
            continue
        yield _described(json.loads(options), function)


def _described(options: dict[str, Any], function: function_pb2.FunctionDef) -> SamplerFunction:
    transform, points = options.get("transform"), "grid"
    if transform:
        points = "projective" if transform == "projective" else "affine"
    spec = SamplerSpec(
        options["kernel"],
        options["padding"],
        options["align_corners"],
        points,
        size=tuple(options.get("size", ())),
    )
    found = SamplerFunction(spec, transform, function)
    return dataclasses.replace(
        found, spec=spec._replace(dimensions=found.argument_shape(0).rank - 2)
    )


def samplers_of(function: ConcreteFunction) -> tuple[SamplerSpec, ...]:
    """Returns what the samplers in a concrete function are, for any size, sorted, each once.

    A warp by matrices comes beside the grid within it.
    """
    library = function.graph.as_graph_def().library
    return tuple(sorted({sampler.spec.anywhere() for sampler in samplers_in(library)}))


def with_bodies(function: ConcreteFunction, new_body: NewBody) -> ConcreteFunction:
    """Returns the same concrete function with other bodies in its samplers.

    Args:
        function: A concrete function, fresh or out of a loaded SavedModel.
        new_body: Gives the body of a sampler. A warp's is asked for beside those within it.
    """
    return with_graph(function, _replaced(function.graph.as_graph_def(), new_body))


def _replaced(graph_def: graph_pb2.GraphDef, new_body: NewBody) -> graph_pb2.GraphDef:
    for sampler in list(samplers_in(graph_def.library)):
        body = new_body(sampler)
        if body is not None:
            body.signature.name = sampler.function.signature.name
            sampler.function.CopyFrom(body)
    return graph_def
