"""The operations of ai.stn_tf in ONNX Runtime, against NumPy in float64."""

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

import stn_tf
from stn_tf import libraries, native
from stn_tf.sampling.grid_sample import KERNELS, PADDINGS
from tests import reference

COMBINATIONS = list(itertools.product(KERNELS, PADDINGS, [False, True]))
DTYPES = {
    "float64": (TensorProto.DOUBLE, 1e-12),
    "float32": (TensorProto.FLOAT, 1e-5),
    "float16": (TensorProto.FLOAT16, 2e-3),
    "bfloat16": (TensorProto.BFLOAT16, 1.6e-2),
}


def session(operation: str, dtype: str = "float32", threads: int = 0, **attributes: Any) -> Any:
    kind, _ = DTYPES[dtype]
    points = TensorProto.DOUBLE if dtype == "float64" else TensorProto.FLOAT
    # NumPy has no bfloat16 of its own: it is cast in the graph.
    outside = TensorProto.FLOAT if dtype == "bfloat16" else kind
    nodes = [
        helper.make_node("Cast", ["images"], ["inner"], to=kind),
        helper.make_node(
            operation, ["inner", "points"], ["sampled"], domain="ai.stn_tf", **attributes
        ),
        helper.make_node("Cast", ["sampled"], ["output"], to=outside),
    ]
    graph = helper.make_graph(
        nodes,
        "sampler",
        [
            helper.make_tensor_value_info("images", outside, None),
            helper.make_tensor_value_info("points", points, None),
        ],
        [helper.make_tensor_value_info("output", outside, None)],
    )
    versions = [helper.make_opsetid("", 18), helper.make_opsetid("ai.stn_tf", 1)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=9)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.register_custom_ops_library(native.onnxruntime_library_path())
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(made: Any, images: np.ndarray, points: np.ndarray) -> np.ndarray:
    return made.run(None, {"images": images, "points": points})[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("sizes", [(5, 6), (3, 4, 5)])
def test_grid_sample(
    sizes: tuple, combination: tuple, dtype: str, rng: np.random.Generator
) -> None:
    kernel, padding, align_corners = combination
    made = session(
        "GridSample" if len(sizes) == 2 else "GridSample3D",
        dtype,
        kernel=kernel,
        padding=padding,
        align_corners=int(align_corners),
    )
    images = rng.uniform(-1, 1, (2, *sizes, 3))
    if dtype == "bfloat16":
        images = images.astype(ml_dtypes.bfloat16).astype(np.float32)
    else:
        images = images.astype(dtype)
    points = "float64" if dtype == "float64" else "float32"
    shape = (2, *([3] * len(sizes)), len(sizes))
    # Off the places where the nearest pixel is a matter of rounding.
    grid = (rng.integers(-6, 6, shape) / 4 + 0.03).astype(points)
    expected = reference.grid_sample(images.astype(np.float64), grid, *combination)
    output = run(made, images, grid)
    assert output.shape == expected.shape
    tolerance = DTYPES[dtype][1] * max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(output.astype(np.float64), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("transform", ["affine", "projective"])
def test_warp(transform: str, combination: tuple, rng: np.random.Generator) -> None:
    kernel, padding, align_corners = combination
    made = session(
        "AffineGridSample" if transform == "affine" else "ProjectiveGridSample",
        kernel=kernel,
        padding=padding,
        align_corners=int(align_corners),
        height=7,
        width=5,
    )
    images = rng.uniform(-1, 1, (2, 6, 8, 4)).astype(np.float32)
    identity = stn_tf.identity(transform)
    theta = (identity + rng.normal(0, 0.1, (2, *identity.shape))).astype(np.float32)
    expected = stn_tf.warp(
        images,
        theta,
        (7, 5),
        transform=transform,
        kernel=kernel,
        padding=padding,
        align_corners=align_corners,
    )
    np.testing.assert_allclose(run(made, images, theta), expected, atol=1e-5)


def test_attributes_have_the_defaults_of_grid_sample(rng: np.random.Generator) -> None:
    images = rng.normal(size=(1, 4, 4, 2)).astype(np.float32)
    grid = rng.uniform(-1.2, 1.2, (1, 3, 3, 2)).astype(np.float32)
    np.testing.assert_allclose(
        run(session("GridSample"), images, grid), stn_tf.grid_sample(images, grid), atol=1e-6
    )


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_large_images_are_shared_between_threads(threads: int, rng: np.random.Generator) -> None:
    images = rng.normal(size=(1, 300, 400, 3)).astype(np.float32)
    grid = rng.uniform(-1, 1, (1, 500, 300, 2)).astype(np.float32)
    made = session("GridSample", threads=threads)
    np.testing.assert_allclose(run(made, images, grid), stn_tf.grid_sample(images, grid), atol=1e-5)


@pytest.mark.parametrize(
    ("images", "points", "message"),
    [
        ((2, 4, 4), (2, 1, 1, 2), r"`images` must be .*\[2, 4, 4\]"),
        ((2, 4, 4, 1), (3, 1, 1, 2), r"`grid` must be .*\[3, 1, 1, 2\]"),
        ((2, 4, 4, 1), (2, 1, 1, 3), r"`grid` must be"),
        ((2, 0, 4, 1), (2, 1, 1, 2), "at least one pixel"),
    ],
)
def test_shapes_that_do_not_fit(images: tuple, points: tuple, message: str) -> None:
    made = session("GridSample")
    with pytest.raises(Exception, match=message):
        run(made, np.ones(images, np.float32), np.ones(points, np.float32))
    # The session lives on.
    good = run(made, np.ones((1, 2, 2, 1), np.float32), np.zeros((1, 1, 1, 2), np.float32))
    np.testing.assert_array_equal(good, np.ones((1, 1, 1, 1)))


@pytest.mark.parametrize(
    ("operation", "attributes", "message"),
    [
        ("GridSample", {"kernel": "cubic"}, "`kernel` must be one of .*cubic"),
        ("GridSample", {"padding": "wrap"}, "`padding` must be one of .*wrap"),
        ("AffineGridSample", {"kernel": "linear"}, "`kernel` must be one of .*linear"),
    ],
)
def test_attributes_that_do_not_exist(operation: str, attributes: dict, message: str) -> None:
    with pytest.raises(Exception, match=message):
        session(operation, **attributes)


def test_a_warp_without_a_size_is_refused() -> None:
    with pytest.raises(Exception, match="`height` and `width` must be at least 1"):
        run(
            session("AffineGridSample"),
            np.ones((1, 2, 2, 1), np.float32),
            np.ones((1, 2, 3), np.float32),
        )


def test_volumes_have_an_operation_of_their_own() -> None:
    volumes, grid = np.ones((1, 2, 2, 2, 1), np.float32), np.zeros((1, 1, 1, 1, 3), np.float32)
    np.testing.assert_array_equal(run(session("GridSample3D"), volumes, grid), np.ones((1,) * 5))
    with pytest.raises(Exception, match="`images` must have rank 4, but it has rank 5"):
        run(session("GridSample"), volumes, grid)
    with pytest.raises(Exception, match="`images` must have rank 5, but it has rank 4"):
        run(session("GridSample3D"), volumes[:, 0], grid[:, 0, ..., :2])


def test_a_missing_library_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "onnxruntime_library", lambda: None)
    with pytest.raises(FileNotFoundError, match="sampler for ONNX Runtime is not there"):
        native.onnxruntime_library_path()
