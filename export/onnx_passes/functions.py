"""The functions that stand in for the operations of `ai.stn_tf` where our library is missing.

A file in dual form has them in it: a runtime without the operation inlines its function, one
GridSample with what leads to its points, and ONNX Runtime with our library takes the operation
itself. ONNX Runtime 1.26 ignores the overload of a function and takes another's body, so there is
one function for each name, and all that differs from node to node is an attribute.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, helper, numpy_helper

from stn_tf.export.sampler_spec import (
    AFFINE,
    DOMAIN,
    GRID_SAMPLE,
    GRID_SAMPLE_3D,
    PROJECTIVE,
)

VERSION = 1
_SEMANTICS = ("kernel", "padding", "align_corners")
_BODY = (
    *("body_mode", "body_padding_mode", "body_align_corners"),
    *("body_low", "body_high", "body_scale"),
)
_SIZE = ("height", "width")
_KINDS = {
    "align_corners": AttributeProto.INT,
    "body_align_corners": AttributeProto.INT,
    "height": AttributeProto.INT,
    "width": AttributeProto.INT,
    "body_low": AttributeProto.FLOATS,
    "body_high": AttributeProto.FLOATS,
    "body_scale": AttributeProto.FLOATS,
}
# Nearer to the horizon than this, a point of a projective map reads far outside.
_HORIZON = 1e-6


def sampler_functions(opset: int) -> dict[str, onnx.FunctionProto]:
    """Returns the function of each operation, by its name, for an opset of 16 or more."""
    functions = {
        GRID_SAMPLE: _grid_sample(2, opset),
        AFFINE: _matrices(AFFINE, opset),
        PROJECTIVE: _matrices(PROJECTIVE, opset),
    }
    if opset >= 20:  # Older ones have no GridSample for volumes.
        functions[GRID_SAMPLE_3D] = _grid_sample(3, opset)
    return functions


class _Body:
    """The nodes of a function; every method adds one and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []

    def add(
        self,
        op: str,
        *inputs: str,
        refer: Mapping[str, str] | None = None,
        domain: str = "",
        outputs: Sequence[str] = (),
        **attributes: Any,
    ) -> str:
        names = list(outputs) or [f"{op.lower()}_{len(self.nodes)}"]
        node = helper.make_node(op, inputs, names, domain=domain, **attributes)
        for name, source in (refer or {}).items():
            # The value of an attribute of the function.
            kind = _KINDS.get(source, AttributeProto.STRING)
            node.attribute.add(name=name, ref_attr_name=source, type=kind)
        self.nodes.append(node)
        return names[0]

    def attribute(self, name: str) -> str:
        """An attribute of the function as a tensor."""
        field = "value_int" if _KINDS[name] == AttributeProto.INT else "value_floats"
        return self.add("Constant", refer={field: name})

    def number(self, value: float | Sequence[float]) -> str:
        return self._constant(np.asarray(value, np.float32))

    def whole(self, value: int | Sequence[int]) -> str:
        return self._constant(np.asarray(value, np.int64))

    def _constant(self, value: np.ndarray) -> str:
        return self.add("Constant", value=numpy_helper.from_array(value))

    def function(self, name: str, points: str, attributes: Sequence[str], opset: int) -> Any:
        imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, VERSION)]
        return helper.make_function(
            DOMAIN, name, ["images", points], ["samples"], self.nodes, imports, list(attributes)
        )


def _grid_sample(dimensions: int, opset: int) -> onnx.FunctionProto:
    body = _Body()
    low = body.attribute("body_low")
    grid = body.add("Where", body.add("IsNaN", "grid"), low, "grid")
    grid = body.add("Min", body.add("Max", grid, low), body.attribute("body_high"))
    grid = body.add("Mul", grid, body.attribute("body_scale"))
    axes = range(1, dimensions + 1)
    images = body.add("Transpose", "images", perm=[0, dimensions + 1, *axes])
    refer = {
        "mode": "body_mode",
        "padding_mode": "body_padding_mode",
        "align_corners": "body_align_corners",
    }
    samples = body.add("GridSample", images, grid, refer=refer)
    perm = [0, *(axis + 1 for axis in axes), 1]
    body.add("Transpose", samples, perm=perm, outputs=["samples"])
    name = GRID_SAMPLE if dimensions == 2 else GRID_SAMPLE_3D
    return body.function(name, "grid", (*_SEMANTICS, *_BODY), opset)


def _matrices(name: str, opset: int) -> onnx.FunctionProto:
    """The points as sums of products with constant planes.

    Not as matrix products, which graphics cards compute with 10 bits (TensorFloat-32), nor as
    AffineGrid, which few runtimes have.
    """
    body = _Body()
    x, y, size = _base(body)
    rows, matrix = 2, "theta"
    if name == PROJECTIVE:
        rows = 3
        padded = body.add("Pad", "theta", body.whole([0, 0, 0, 1]), body.number(1.0))
        matrix = body.add("Reshape", padded, body.whole([0, 3, 3]))
    columns = [f"column_{i}" for i in range(3)]
    body.add("Split", matrix, body.whole([1, 1, 1]), outputs=columns, axis=2)
    # Coordinates before points, [N, rows, P]: ONNX Runtime is far slower where it has to
    # repeat pairs of numbers.
    points = body.add("Add", body.add("Mul", columns[0], x), body.add("Mul", columns[1], y))
    points = body.add("Add", points, columns[2])
    if rows == 3:
        points = _divided(body, points)
    shape = body.add("Concat", body.whole([0]), size, body.whole([2]), axis=0)
    grid = body.add("Reshape", body.add("Transpose", points, perm=[0, 2, 1]), shape)
    passed = (*_SEMANTICS, *_BODY)
    refer = {attribute: attribute for attribute in passed}
    body.add(GRID_SAMPLE, "images", grid, refer=refer, domain=DOMAIN, outputs=["samples"])
    return body.function(name, "theta", (*passed, *_SIZE), opset)


def _base(body: _Body) -> tuple[str, str, str]:
    """x and y of the output's pixels, each [P] with x fastest, and (height, width)."""
    aligned = body.add("Cast", body.attribute("align_corners"), to=onnx.TensorProto.FLOAT)
    one, first = body.number(1.0), body.add("Sub", body.number(1.0), aligned)
    lengths, planes = [], []
    for axis, attribute in enumerate(_SIZE):
        length = body.attribute(attribute)
        lengths.append(body.add("Unsqueeze", length, body.whole([0])))
        # (2 i + 1) / n - 1, or with aligned corners 2 i / (n - 1) - 1, and 0 if n is 1.
        index = body.add("Range", body.whole(0), length, body.whole(1))
        index = body.add("Cast", index, to=onnx.TensorProto.FLOAT)
        count = body.add("Sub", body.add("Cast", length, to=onnx.TensorProto.FLOAT), aligned)
        place = body.add("Add", body.add("Mul", index, body.number(2.0)), first)
        place = body.add("Div", place, body.add("Max", count, one))
        place = body.add("Sub", place, body.add("Min", count, one))
        planes.append(body.add("Unsqueeze", place, body.whole([1 - axis])))
    size = body.add("Concat", *lengths, axis=0)
    flat = body.whole([-1])
    y, x = (body.add("Reshape", body.add("Expand", plane, size), flat) for plane in planes)
    return x, y, size


def _divided(body: _Body, points: str) -> str:
    """(x, y, depth) [N, 3, P] -> (x, y) / depth, with depths not too near to 0."""
    names = ["planes", "depth"]
    body.add("Split", points, body.whole([2, 1]), outputs=names, axis=1)
    near = body.add("Less", body.add("Abs", "depth"), body.number(_HORIZON))
    behind = body.add("Less", "depth", body.number(0.0))
    horizon = body.add("Where", behind, body.number(-_HORIZON), body.number(_HORIZON))
    return body.add("Div", "planes", body.add("Where", near, horizon, "depth"))
