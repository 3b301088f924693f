"""A version is compared again, and what was changed since is found."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from stn_tf.errors import ExportError, ModelError
from stn_tf.export.proof.validation import validate


@pytest.fixture
def version(exported, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported.version_dir, tmp_path / "1"))


def test_what_was_exported_passes(version, exported):
    found = validate(version)
    assert found.passed
    assert found.changed == ()
    # The same rows as of the export, but for the sampler alone and for encoded images.
    same = {
        (row.output, row.case, row.candidate): row.tolerance
        for row in exported.result.manifest.parity
        if row.output not in ("grid_sample", "affine warp") and "bytes" not in row.candidate
    }
    assert {(r.output, r.case, r.candidate): r.tolerance for r in found.parity} == same
    assert found.placement.samplers == ("CPUExecutionProvider",)
    assert found.placement.copies == 0
    (nodes,) = found.placement.nodes.values()
    assert nodes["AffineGridSample"] == 1


def test_a_changed_file_is_found(version):
    file = onnx.load(version / "model.onnx")
    (bias,) = [tensor for tensor in file.graph.initializer if list(tensor.dims) == [6]]
    values = onnx.numpy_helper.to_array(bias) + np.float32(0.01)
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    onnx.save(file, version / "model.onnx")
    found = validate(version)
    assert found.changed == ("model.onnx",)
    assert {row.candidate for row in found.parity if not row.passed} == {
        "onnx_runtime",
        "onnx_runtime/unoptimised",
        "onnx_runtime/ours",
    }
    assert not found.passed


def test_missing_and_new_files_are_found(version):
    (version / "assets.extra" / "tf_serving_warmup_requests").unlink()
    (version / "extra").write_text("x")
    found = validate(version)
    assert found.changed == ("assets.extra/tf_serving_warmup_requests", "extra")
    assert not found.passed


def test_a_provider_that_is_not_there(version):
    with pytest.raises(ExportError, match=r"`provider` must be one of cpu, cuda, .*'rocm'"):
        validate(version, provider="rocm")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        version / "model.onnx", options, providers=["CUDAExecutionProvider"]
    )
    if "CUDAExecutionProvider" not in session.get_providers():
        with pytest.raises(ExportError, match="`provider` must be one that works here, but cuda"):
            validate(version, provider="cuda")


@pytest.mark.parametrize("name", ["stn_tf.json", "stn_tf_parity.npz"])
def test_a_version_without_its_record(name, version):
    (version / "assets.extra" / name).write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(ModelError, match=name):
        validate(version)
