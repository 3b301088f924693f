"""Our GridSample for ONNX's reference evaluator, against the one that it stands in for."""

import itertools

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from stn_tf.export.proof.runtimes.reference_evaluator import GridSample, reference_evaluator
from stn_tf.sampling.grid_sample import PADDINGS

# By the newest names, which are all that the stock one knows, with the names before opset 20.
MODES = {"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}
SHAPES = {(4, 5): (2, 3), (1, 3): (2, 2), (2, 3, 4): (2, 2, 2), (3, 1, 2): (1, 2, 2)}
CASES = [
    case
    for case in itertools.product(MODES, PADDINGS, (0, 1), SHAPES)
    # Between the mirrors of a single pixel there is no room, and the stock one divides by it.
    if not (case[1:3] == ("reflection", 1) and 1 in case[3])
]


def _model(opset: int, **attributes: object) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("GridSample", ["images", "grid"], ["crops"], **attributes)],
        "grid_sample",
        [value(name, TensorProto.FLOAT, None) for name in ("images", "grid")],
        [value("crops", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


@pytest.mark.parametrize(("mode", "padding", "align_corners", "size"), CASES, ids=str)
def test_the_stock_operation_gives_the_same(mode, padding, align_corners, size, rng):
    points = SHAPES[size]
    choices = {"padding_mode": padding, "align_corners": align_corners}
    model = _model(20, mode=mode, **choices)
    stock = ReferenceEvaluator(model)
    assert not isinstance(stock.rt_nodes_[0], GridSample)
    ours = reference_evaluator(model.SerializeToString())
    for _ in range(3):
        feeds = {
            "images": rng.normal(size=(2, 2, *size)).astype(np.float32),
            "grid": rng.uniform(-1.8, 1.8, (2, *points, len(size))).astype(np.float32),
        }
        (expected,) = stock.run(None, feeds)
        np.testing.assert_array_equal(ours(feeds)["crops"], expected)
        if len(size) == 2:
            old = reference_evaluator(_model(16, mode=MODES[mode], **choices).SerializeToString())
            np.testing.assert_array_equal(old(feeds)["crops"], expected)


def test_every_choice_is_another_operation(rng):
    """Otherwise the comparison above would say little."""
    feeds = {
        "images": rng.normal(size=(1, 1, 4, 5)).astype(np.float32),
        "grid": rng.uniform(-1.8, 1.8, (1, 6, 6, 2)).astype(np.float32),
    }
    found = [
        reference_evaluator(
            _model(20, mode=mode, padding_mode=padding, align_corners=aligned).SerializeToString()
        )(feeds)["crops"]
        for mode, padding, aligned in itertools.product(MODES, PADDINGS, (0, 1))
    ]
    for one, other in itertools.combinations(found, 2):
        assert not np.allclose(one, other)
