"""What is left out of a graph: whatever else it holds, ONNX Runtime computes the same."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from stn_tf.export.onnx_passes.simplify import simplify

FLOAT = TensorProto.FLOAT


def _model(
    nodes: list[onnx.NodeProto],
    inputs: Mapping[str, list | None],
    outputs: list[str],
    **constants: np.ndarray,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _run(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, dict(feeds))


def _simplified(model: onnx.ModelProto, **feeds: np.ndarray) -> list[str]:
    """The operations that are left, after proof that they compute the same."""
    before = _run(model, feeds)
    simplify(model)
    for value, expected in zip(_run(model, feeds), before, strict=True):
        np.testing.assert_array_equal(value, expected)
        assert value.shape == expected.shape
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("ones_first", [False, True])
@pytest.mark.parametrize(
    ("shape", "ones", "dropped"),
    [
        ([2, 4, 5], np.float32(1), True),
        ([2, 4, 5], np.ones(1), True),
        (["n", "h", "w"], np.ones((1, 1)), True),
        ([2, 4, 1], np.ones(3), False),  # Three channels of one.
        ([2, 1, 5], np.ones((4, 1)), False),
        ([2, 4, 3], np.ones(3), False),  # Might go, but is not ours.
        ([2, 4, 5], np.ones((1, 1, 1, 1)), False),  # A dimension more.
        ([2, 4, 5], np.full(1, 2.0), False),
        (None, np.ones(1), False),  # Perhaps a scalar.
        (None, np.float32(1), True),
    ],
)
def test_products_with_ones(shape, ones, dropped, ones_first, rng):
    inputs = ["ones", "x"] if ones_first else ["x", "ones"]
    nodes = [helper.make_node("Mul", inputs, ["y"]), helper.make_node("Neg", ["y"], ["z"])]
    model = _model(nodes, {"x": shape}, ["z"], ones=ones)
    sizes = [size if isinstance(size, int) else 3 for size in shape or [2, 2]]
    left = _simplified(model, x=rng.normal(size=sizes).astype(np.float32))
    assert left == (["Neg"] if dropped else ["Mul", "Neg"])


def test_outputs_keep_their_names(rng):
    nodes = [
        helper.make_node("Mul", ["x", "one"], ["y"]),
        helper.make_node("Transpose", ["x"], ["there"], perm=[1, 0]),
        helper.make_node("Transpose", ["there"], ["back"], perm=[1, 0]),
        helper.make_node("Add", ["one", "one"], ["two"]),
    ]
    model = _model(nodes, {"x": [2, 3]}, ["y", "back", "two"], one=1.0)
    left = _simplified(model, x=rng.normal(size=(2, 3)).astype(np.float32))
    assert left == ["Mul", "Transpose", "Transpose", "Add"]


@pytest.mark.parametrize(
    ("there", "back", "dropped"),
    [
        ([0, 2, 1], [0, 2, 1], True),
        ([1, 2, 0], [2, 0, 1], True),
        ([1, 2, 0], [1, 2, 0], False),
        (None, None, False),  # Reversed twice: without `perm`, the rank is not seen.
    ],
)
def test_transposes(there, back, dropped, rng):
    perms = [{} if perm is None else {"perm": perm} for perm in (there, back)]
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], **perms[0]),
        helper.make_node("Transpose", ["t"], ["y"], **perms[1]),
        helper.make_node("Neg", ["y"], ["z"]),
    ]
    model = _model(nodes, {"x": [2, 3, 4]}, ["z"])
    left = _simplified(model, x=rng.normal(size=(2, 3, 4)).astype(np.float32))
    assert left == (["Neg"] if dropped else ["Transpose", "Transpose", "Neg"])


def test_what_a_branch_reads_stays(rng):
    """A branch reads the tensors around it, and its nodes do not list them as inputs."""

    def branch(name: str, node: onnx.NodeProto) -> onnx.GraphProto:
        made = helper.make_tensor_value_info(node.output[0], FLOAT, None)
        return helper.make_graph([node], name, [], [made])

    then = branch("then", helper.make_node("Add", ["y", "five"], ["a"]))
    otherwise = branch("else", helper.make_node("Sub", ["back", "five"], ["b"]))
    nodes = [
        helper.make_node("Add", ["two", "three"], ["five"]),
        helper.make_node("Mul", ["x", "one"], ["y"]),
        helper.make_node("Transpose", ["x"], ["there"], perm=[1, 0]),
        helper.make_node("Transpose", ["there"], ["back"], perm=[1, 0]),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "two"], ["large"]),
        helper.make_node("If", ["large"], ["z"], then_branch=then, else_branch=otherwise),
    ]
    x = rng.normal(size=(2, 3)).astype(np.float32)
    for sign in (1, -1):
        model = _model(nodes, {"x": [2, 3]}, ["z"], one=1.0, two=2.0, three=3.0)
        left = _simplified(model, x=sign * (np.abs(x) + 2))
        assert left[:3] == ["Mul", "Transpose", "Transpose"]


def test_constants_that_are_no_numbers_and_nodes_without_inputs(rng):
    nodes = [
        helper.make_node("Constant", [], ["two"], value_float=2.0),
        helper.make_node("Constant", [], ["texts"], value_strings=["b", "a"]),
        helper.make_node("Unsqueeze", ["texts", "axis"], ["column"]),
        helper.make_node("Shape", ["column"], ["shape"]),
        helper.make_node("Cast", ["shape"], ["sizes"], to=FLOAT),
        helper.make_node("RandomUniform", [], ["unread"], shape=[2]),
        helper.make_node("Mul", ["x", "two"], ["y"]),
        helper.make_node("Add", ["y", "sizes"], ["z"]),
    ]
    model = _model(nodes, {"x": [2]}, ["z"])
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axis"))
    left = _simplified(model, x=rng.normal(size=2).astype(np.float32))
    assert left == ["Constant", "Unsqueeze", "Shape", "Cast", "Mul", "Add"]


def test_a_default_of_an_input_is_no_constant(rng):
    nodes = [
        helper.make_node("Add", ["one", "one"], ["two"]),
        helper.make_node("Mul", ["x", "two"], ["y"]),
    ]
    model = _model(nodes, {"x": [2], "one": [1]}, ["y"], one=np.ones(1))
    x, ten = rng.normal(size=2).astype(np.float32), np.full(1, 10, np.float32)
    assert _simplified(model, x=x, one=ten) == ["Add", "Mul"]


def test_an_operation_of_another_domain_is_not_onnxs():
    node = helper.make_node("Mul", ["x", "one"], ["y"], domain="com.example")
    model = _model([node, helper.make_node("Neg", ["y"], ["z"])], {"x": [2]}, ["z"], one=1.0)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    simplify(model)
    assert [node.op_type for node in model.graph.node] == ["Mul", "Neg"]
