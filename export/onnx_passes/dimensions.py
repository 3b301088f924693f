"""Names the free dimensions of a file's inputs and outputs.

ONNX Runtime takes dimensions of one name to be of one size, and lets a tensor have the memory of
another of that size: a wrong name is an error at run time. So an output has the name of an input's
dimension only where it was seen to follow it, and otherwise a name of its own.
"""

import itertools
import math
from collections.abc import Iterator, Mapping

import onnx

BATCH = "batch"
_INNER = {4: ("height", "width"), 5: ("depth", "height", "width")}


def name_dimensions(model: onnx.ModelProto) -> None:
    """Names all dimensions that have no size, in place.

    The first of every input is `batch`, those of images `height` and `width` (of volumes `depth`
    too), with the input's name before it where there are several inputs.

    Args:
        model: A file whose operations ONNX knows, or has functions for.
    """
    graph = model.graph
    # tf2onnx 1.17 names every unknown dimension differently, `unk__N`, here too.
    del graph.value_info[:]
    prefixes = [f"{value.name}_" if len(graph.input) > 1 else "" for value in graph.input]
    for value, prefix in zip(graph.input, prefixes, strict=True):
        for axis, dim in _free(value):
            dim.dim_param = _input_dimension(prefix, axis, len(_shape(value)))
    primes = _primes(11)
    # Numbers that no stride divides, so that nothing is rounded to the same by chance.
    names = dict.fromkeys(dim.dim_param for value in graph.input for _, dim in _free(value))
    sizes = {name: (next(primes), next(primes)) for name in names}
    found = [_output_sizes(model, {n: pair[i] for n, pair in sizes.items()}) for i in range(2)]
    for index, value in enumerate(graph.output):
        for axis, dim in _free(value):
            seen = tuple(output[index].get(axis) for output in found)
            same = (name for name, pair in sizes.items() if pair == seen)
            dim.dim_param = next(same, f"{value.name}_dim_{axis}")


def _input_dimension(prefix: str, axis: int, rank: int) -> str:
    if axis == 0:
        return BATCH
    inner = _INNER.get(rank, ())
    return prefix + (inner[axis - 1] if axis <= len(inner) else f"dim_{axis}")


def _output_sizes(model: onnx.ModelProto, sizes: Mapping[str, int]) -> list[dict[int, int]]:
    """The known sizes of every output, by axis, for some sizes of the inputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for value in copy.graph.input:
        for _, dim in _free(value):
            dim.dim_value = sizes[dim.dim_param]
    for value in copy.graph.output:
        value.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(copy, data_prop=True)
    return [
        {axis: dim.dim_value for axis, dim in enumerate(_shape(value)) if dim.dim_value}
        for value in inferred.graph.output
    ]


def _shape(value: onnx.ValueInfoProto) -> list[onnx.TensorShapeProto.Dimension]:
    return list(value.type.tensor_type.shape.dim)


def _free(value: onnx.ValueInfoProto) -> list[tuple[int, onnx.TensorShapeProto.Dimension]]:
    """The dimensions without a size, by axis."""
    dims = enumerate(_shape(value))
    return [(axis, dim) for axis, dim in dims if not dim.HasField("dim_value")]


def _primes(start: int) -> Iterator[int]:
    for number in itertools.count(start):
        if all(number % divisor for divisor in range(2, math.isqrt(number) + 1)):
            yield number
