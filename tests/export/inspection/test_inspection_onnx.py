"""What `inspect_model` finds in ONNX files that are known by hand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from stn_tf.export.inspection.model_file import inspect_model
from stn_tf.export.inspection.result import FileInspection, SamplerUse
from stn_tf.export.onnx_passes.functions import sampler_functions
from stn_tf.export.sampler_spec import DOMAIN, SamplerSpec


def codes(file: FileInspection) -> set[str]:
    return {notice.code for notice in file.warnings}


def write_onnx(path: Path, nodes, inputs, outputs, weights=None, functions=(), opset=18) -> Path:
    graph = helper.make_graph(
        nodes,
        "unit",
        [helper.make_tensor_value_info(name, *rest) for name, rest in inputs.items()],
        [helper.make_tensor_value_info(name, *rest) for name, rest in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=10)
    helper.set_model_props(model, {"stn_tf.model": "unit", "other": "x"})
    onnx.save(model, path)
    return path


def inspect_onnx(*arguments, **options) -> FileInspection:
    (file,) = inspect_model(write_onnx(*arguments, **options)).files
    return file


FLOAT = TensorProto.FLOAT
IMAGES = {"images": (FLOAT, ("batch", 9, 8, 3))}


def ours(name: str, points: str, **attributes) -> onnx.NodeProto:
    spec = SamplerSpec("bilinear", "zeros", True)
    given = {**spec.attributes((9, 8)), **attributes}
    return helper.make_node(name, ["images", points], ["samples"], domain=DOMAIN, **given)


def test_arithmetic_and_weights(tmp_path):
    nodes = [
        helper.make_node("Transpose", ["images"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["nchw", "kernel", "bias"], ["features"], group=2, pads=[1] * 4),
        helper.make_node("ConvTranspose", ["features", "up"], ["larger"], strides=[2, 2]),
        helper.make_node("Flatten", ["larger"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["product"]),
        helper.make_node("Add", ["product", "offset"], ["hidden"]),
        helper.make_node("Gemm", ["hidden", "last"], ["gemm"], transB=1),
        helper.make_node("Mul", ["gemm", "grid"], ["answer"]),
    ]
    weights = {
        "kernel": np.zeros((6, 2, 3, 3), np.float32),
        "bias": np.zeros(6, np.float32),
        "up": np.zeros((6, 5, 2, 2), np.float32),
        "dense": np.zeros((5 * 18 * 16, 7), np.float32),
        "offset": np.zeros(7, np.float32),
        "last": np.zeros((4, 7), np.float32),
        "grid": np.zeros((1, 4), np.float32),
    }
    file = inspect_onnx(
        tmp_path / "model.onnx",
        nodes,
        {"images": (FLOAT, ("batch", 9, 8, 4))},
        {"answer": (FLOAT, ("batch", 4))},
        weights,
    )
    (signature,) = file.signatures
    products = 6 * 9 * 8 * (2 * 9) + 6 * 9 * 8 * (5 * 4) + 5 * 18 * 16 * 7 + 7 * 4
    assert signature.flops_per_image == 2 * products
    assert file.parameters == sum(value.size for value in weights.values()) - 4
    assert file.opsets == {"": 18, DOMAIN: 1}
    assert file.ir_version == 10
    assert file.provenance == {"producer": "", "stn_tf.model": "unit"}
    assert file.operations["ConvTranspose"] == 1
    assert [(t.name, t.dtype, t.shape) for t in signature.inputs] == [
        ("images", "float32", ("batch", 9, 8, 4))
    ]
    assert not file.warnings


@pytest.mark.parametrize(
    ("name", "points", "shape", "size", "transform", "for_points"),
    [
        ("GridSample", "grid", (2,), {}, None, 0),
        ("AffineGridSample", "theta", (2, 3), {"height": 6, "width": 5}, "affine", 6),
        ("ProjectiveGridSample", "theta", (8,), {"height": 6, "width": 5}, "projective", 9),
    ],
)
@pytest.mark.parametrize("dual", [True, False])
def test_our_samplers(name, points, shape, size, transform, for_points, dual, tmp_path):
    functions = []
    if dual:
        every = sampler_functions(18)
        functions = [every["GridSample"], every[name]][name == "GridSample" :]
    leading = ("batch", 6, 5) if name == "GridSample" else ("batch",)
    nodes = [
        ours(name, points, **size),
        helper.make_node("Flatten", ["samples"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["answer"]),
    ]
    file = inspect_onnx(
        tmp_path / "model.onnx",
        nodes,
        {**IMAGES, points: (FLOAT, (*leading, *shape))},
        {"answer": (FLOAT, ("batch", 2)), "samples": (FLOAT, ("batch", 6, 5, 3))},
        {"dense": np.zeros((6 * 5 * 3, 2), np.float32)},
        functions,
    )
    (signature,) = file.signatures
    assert signature.samplers == (
        SamplerUse(
            operation=f"{DOMAIN}::{name}",
            transform=transform,
            kernel="bilinear",
            padding="zeros",
            align_corners=True,
            samples=(6, 5, 3),
        ),
    )
    # What comes after the sampler is known too: four pixels each, and the matrix of the points.
    expected = 2 * (6 * 5 * 3 * 4 + 6 * 5 * for_points + 6 * 5 * 3 * 2)
    assert signature.flops_per_image == expected
    assert codes(file) == (set() if dual else {"needs_library"})


def test_our_volumes(tmp_path):
    node = helper.make_node(
        "GridSample3D",
        ["images", "grid"],
        ["samples"],
        domain=DOMAIN,
        kernel="nearest",
        padding="border",
        align_corners=0,
    )
    inputs = {"images": (FLOAT, (None, 4, 9, 8, 2)), "grid": (FLOAT, (None, 3, 6, 5, 3))}
    outputs = {"samples": (FLOAT, (None, 3, 6, 5, 2))}
    file = inspect_onnx(tmp_path / "model.onnx", [node], inputs, outputs)
    (sampler,) = file.signatures[0].samplers
    assert (sampler.kernel, sampler.padding, sampler.samples) == ("nearest", "border", (3, 6, 5, 2))
    assert file.signatures[0].flops_per_image == 0


def grid_sample(tmp_path, opset=18, kind=FLOAT, grid_kind=None, **attributes) -> FileInspection:
    node = helper.make_node("GridSample", ["images", "grid"], ["samples"], **attributes)
    inputs = {
        "images": (kind, ("batch", 3, 9, 8)),
        "grid": (grid_kind or kind, ("batch", 6, 5, 2)),
    }
    outputs = {"samples": (kind, ("batch", 3, 6, 5))}
    return inspect_onnx(tmp_path / "model.onnx", [node], inputs, outputs, opset=opset)


@pytest.mark.parametrize(
    ("opset", "mode", "kernel", "taps"),
    [
        *((18, mode, mode, taps) for mode, taps in (("bilinear", 4), ("bicubic", 16))),
        *((20, "linear", "bilinear", 4), (20, "cubic", "bicubic", 16)),
        (18, "nearest", "nearest", 0),
    ],
)
def test_grid_sample(opset, mode, kernel, taps, tmp_path):
    file = grid_sample(tmp_path, opset, mode=mode, padding_mode="border")
    (sampler,) = file.signatures[0].samplers
    assert (sampler.operation, sampler.kernel, sampler.padding) == ("GridSample", kernel, "border")
    assert sampler.align_corners is False
    assert sampler.samples == (6, 5, 3)
    assert file.signatures[0].flops_per_image == 2 * 3 * 6 * 5 * taps
    assert codes(file) == ({"tensorrt_nearest"} if opset >= 20 else set())


def test_defaults_of_grid_sample(tmp_path):
    (sampler,) = grid_sample(tmp_path).signatures[0].samplers
    assert (sampler.kernel, sampler.padding, sampler.align_corners) == ("bilinear", "zeros", False)


def test_warnings_of_grid_sample(tmp_path):
    assert codes(grid_sample(tmp_path, align_corners=1)) == {"align_corners"}
    half = TensorProto.FLOAT16
    assert codes(grid_sample(tmp_path, kind=half)) == {"float16_grid", "float16_sampler"}


def test_gathers(tmp_path):
    nodes = [helper.make_node("GatherND", ["images", "where"], [f"pixel_{i}"]) for i in range(8)]
    nodes.append(helper.make_node("Sum", [f"pixel_{i}" for i in range(8)], ["samples"]))
    inputs = {**IMAGES, "where": (TensorProto.INT64, (5, 3))}
    outputs = {"samples": (FLOAT, (5, 3))}
    file = inspect_onnx(tmp_path / "model.onnx", nodes, inputs, outputs)
    (notice,) = file.warnings
    assert notice.code == "gathers"
    assert notice.text.startswith("8 GatherND nodes look like 2 sampler(s)")
    few = inspect_onnx(tmp_path / "few.onnx", [nodes[0]], inputs, {"pixel_0": (FLOAT, (5, 3))})
    assert not few.warnings


def test_operations_without_a_function(tmp_path):
    nodes = [
        helper.make_node("Strange", ["images"], ["half"], domain="com.example"),
        helper.make_node("Resampler", ["half", "warp"], ["samples"], domain="ai.onnx.contrib"),
    ]
    inputs = {**IMAGES, "warp": (FLOAT, ("batch", 6, 5, 2))}
    file = inspect_onnx(tmp_path / "model.onnx", nodes, inputs, {"samples": (FLOAT, None)})
    assert codes(file) == {"custom_operation_Strange", "addons_resampler"}
    assert any("stn-tf migrate" in notice.text for notice in file.warnings)
    assert file.signatures[0].flops_per_image is None
    assert file.signatures[0].samplers[0].align_corners is True


def test_functions_of_others_are_looked_into(tmp_path):
    inner = helper.make_function(
        "com.example",
        "Sampled",
        ["x", "y"],
        ["z"],
        [helper.make_node("GridSample", ["x", "y"], ["z"], align_corners=1)],
        [helper.make_opsetid("", 18)],
    )
    node = helper.make_node("Sampled", ["images", "grid"], ["samples"], domain="com.example")
    inputs = {"images": (FLOAT, (None, 3, 9, 8)), "grid": (FLOAT, (None, 6, 5, 2))}
    graph = helper.make_graph(
        [node],
        "unit",
        [helper.make_tensor_value_info(name, *rest) for name, rest in inputs.items()],
        [helper.make_tensor_value_info("samples", FLOAT, (None, 3, 6, 5))],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("com.example", 1)]
    model = helper.make_model(graph, opset_imports=imports, functions=[inner], ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")
    (file,) = inspect_model(tmp_path / "model.onnx").files
    assert [use.samples for use in file.signatures[0].samplers] == [(6, 5, 3)]
    assert codes(file) == {"align_corners"}


def test_onnx_files_are_read_without_tensorflow(tmp_path):
    node = helper.make_node("Relu", ["images"], ["answer"])
    path = write_onnx(
        tmp_path / "model.onnx", [node], IMAGES, {"answer": (FLOAT, ("batch", 9, 8, 3))}
    )
    code = (
        "import sys; from stn_tf.export.inspection.model_file import inspect_model; "
        f"inspect_model({str(path)!r}); sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
