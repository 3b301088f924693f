"""`stn-tf inspect`."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from stn_tf.cli.main import COMMANDS, main


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "inspect", "Say what is in a model file.")


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    """Two samplers, one of them with aligned corners, and a dense layer."""
    nodes = [
        helper.make_node("GridSample", ["images", "grid"], ["first"], align_corners=1),
        helper.make_node("GridSample", ["first", "grid"], ["crops"], padding_mode="reflection"),
        helper.make_node("Flatten", ["crops"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["[bold]"]),
    ]
    graph = helper.make_graph(
        nodes,
        "unit",
        [
            helper.make_tensor_value_info("images", TensorProto.FLOAT, ("batch", 1, 9, 8)),
            helper.make_tensor_value_info("grid", TensorProto.FLOAT, ("batch", 6, 5, 2)),
        ],
        [helper.make_tensor_value_info("[bold]", TensorProto.FLOAT, ("batch", 1000))],
        [numpy_helper.from_array(np.zeros((30, 1000), np.float32), "weights")],
    )
    imports = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def _inspect(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["inspect", *map(str, arguments)])


def test_for_people(onnx_file: Path) -> None:
    result = _inspect(onnx_file)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["parameters", "30,000"] in lines
    assert ["opset", "ai.onnx", "18"] in lines
    assert ["IR", "version", "10"] in lines
    assert ["input", "images", "float32", "[batch,", "1,", "9,", "8]"] in lines
    assert ["output", "[bold]", "float32", "[batch,", "1000]"] in lines
    flops = 2 * (2 * 30 * 4 + 30 * 1000)
    assert f"unit: {flops:,} floating-point operations per image" in result.stdout
    first = ["sampler", "GridSample", "bilinear", "zeros", "align_corners", "to", "6x5x1"]
    assert first in lines
    assert ["sampler", "GridSample", "bilinear", "reflection", "to", "6x5x1"] in lines
    (warning,) = (line for line in result.stdout.splitlines() if line.startswith("warning: "))
    assert warning.startswith("warning: model.onnx: GridSample with align_corners=1")


def test_json(onnx_file: Path) -> None:
    answer = json.loads(_inspect(onnx_file, "--json").stdout)
    (file,) = answer["files"]
    assert file["parameters"] == 30_000
    assert file["operations"] == {"Flatten": 1, "GridSample": 2, "MatMul": 1}
    (signature,) = file["signatures"]
    assert signature["inputs"][0] == {
        "name": "images",
        "dtype": "float32",
        "shape": ["batch", 1, 9, 8],
    }
    assert [notice["code"] for notice in file["warnings"]] == ["align_corners"]


def test_version_directory(model_dir: Path) -> None:
    result = _inspect(model_dir / "1")
    assert result.exit_code == 0, result.output
    for part in ("saved_model.pb", "serving_default: ", "rectify: ", "model.onnx", "manifest"):
        assert any(line.startswith(part) for line in result.stdout.splitlines()), part
    assert "warning: " not in result.stdout
    answer = json.loads(_inspect(model_dir / "1", "--json").stdout)
    assert [file["kind"] for file in answer["files"]] == ["saved_model", "onnx"]
    assert answer["provenance"]["experiment"] == "unit"


def test_the_folder_of_versions(model_dir: Path) -> None:
    result = _inspect(model_dir)
    assert result.exit_code == 1
    assert "Its versions are 1: name one of them." in result.stderr


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_errors_are_one_line(damage: str, onnx_file: Path) -> None:
    if damage == "missing":
        onnx_file.unlink()
    else:
        onnx_file.write_bytes(onnx_file.read_bytes()[:100])
    result = _inspect(onnx_file)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert str(onnx_file) in result.stderr
