"""What loads the files of a version: real runtimes, as they come, and without TensorFlow."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stn_tf.errors import ExportError
from stn_tf.export import ExportOptions, OnnxOptions, export_model
from stn_tf.export.proof import runtimes
from stn_tf.export.proof.validation import validate

# No part of it can be imported: not by a library that looks for it either.
_ABSENT = "import sys; sys.modules.update(dict.fromkeys(('tensorflow', 'keras', 'tf2onnx')))\n"


@pytest.fixture(scope="module")
def version(classifier, images, tmp_path_factory) -> Path:
    options = ExportOptions(
        onnx=OnnxOptions(target="openvino"), formats=("saved_model", "onnx", "litert")
    )
    out = tmp_path_factory.mktemp("all")
    return export_model(classifier(), out, images=images, options=options).version_dir


def test_every_runtime_says_what_the_model_said(version):
    found = validate(version, runtimes=list(runtimes.RUNTIMES))
    candidates = {row.candidate for row in found.parity}
    # On processors with bfloat16 OpenVINO computes in that, unless told otherwise.
    assert candidates - {"openvino/float32"} == {
        *("saved_model", "onnx_runtime", "onnx_runtime/unoptimised", "openvino", "litert"),
    }
    rounded = "openvino" if "openvino/float32" in candidates else None
    exact = [row for row in found.parity if row.candidate != rounded]
    assert all(row.passed for row in exact)
    outputs = {row.output for row in found.parity if row.candidate == "litert"}
    assert {"logits", "theta", "corners", "crops"} <= outputs
    # Of several images all are right, not the first alone.
    assert {row.images for row in exact if row.candidate == "litert"} >= {1, 2, 7}


def test_openvino_refuses_our_own_operations(exported):
    message = "OpenVINO refuses `model.onnx`: .*AffineGridSample.* Export with --target openvino"
    with pytest.raises(ExportError, match=message) as error:
        validate(exported.version_dir, runtimes=["openvino"])
    assert "\n" not in str(error.value)


def test_what_is_not_there(exported, monkeypatch):
    with pytest.raises(ExportError, match=r"`runtime` must be one of tensorflow, .*'caffe'"):
        validate(exported.version_dir, runtimes=["caffe"])
    with pytest.raises(ExportError, match=r"`runtime` litert runs model.tflite, but .* --format"):
        validate(exported.version_dir, runtimes=["litert"])
    with pytest.raises(ExportError, match="`provider` cuda is ONNX Runtime's, which `runtimes`"):
        validate(exported.version_dir, runtimes=["tensorflow"], provider="cuda")
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"openvino is not. .*`pip install stn-tf\[openvino\]`"):
        validate(exported.version_dir, runtimes=["openvino"])


def test_a_file_that_nothing_runs_is_said(version, monkeypatch):
    find = runtimes.importlib.util.find_spec
    monkeypatch.setattr(
        runtimes.importlib.util,
        "find_spec",
        lambda name, *package: None if name == "ai_edge_litert" else find(name, *package),
    )
    found = validate(version)
    assert found.passed
    (line,) = found.left_out
    assert line.startswith("model.tflite is not compared: ")
    assert "stn-tf[litert]" in line


def without_tensorflow(code: str, root: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _ABSENT + code], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "litert"])
def test_validate_needs_no_tensorflow(runtime, version, root):
    arguments = ["validate", str(version), "--runtime", runtime, "--json"]
    said = without_tensorflow(
        f"from stn_tf.cli.main import main; main({arguments}, standalone_mode=False)", root
    )
    report = json.loads(said)
    assert {row["output"] for row in report["parity"]} >= {"logits", "theta"}


def test_what_knows_onnx_alone_needs_no_tensorflow(exported, root):
    path = exported.version_dir / "model.onnx"
    said = without_tensorflow(
        f"""
import onnx
from stn_tf.export import inspect_model
from stn_tf.export.onnx_passes.back_end import finish
from stn_tf.export.onnx_passes.precision import to_float16
from stn_tf.export.onnx_passes.targets import OnnxOptions
model = onnx.load({str(path)!r})
del model.functions[:]
file = finish(model, OnnxOptions(target="openvino"), 20, 1)
print([node.op_type for node in to_float16(file).graph.node].count("GridSample"))
print(len(inspect_model({str(path)!r}).files))
""",
        root,
    )
    assert said.split() == ["1", "1"]
