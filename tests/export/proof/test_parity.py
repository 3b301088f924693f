"""The gate closes on files that compute something else."""

import shutil
from typing import Any

import numpy as np
import onnx
import pytest

from stn_tf.errors import ParityError
from stn_tf.export import export_model
from stn_tf.export.proof.comparison import require
from stn_tf.export.proof.parity import parity
from stn_tf.export.proof.truth import expect
from stn_tf.export.publish.manifest import ParityRow
from stn_tf.export.source.declaration import Declaration
from stn_tf.export.source.keras_network import inspect
from stn_tf.export.source.network import Network
from stn_tf.export.tensorflow.saved_model_file import saved_model


def _row(**changes: object) -> ParityRow:
    row = {
        "output": "logits",
        "case": "real images, batch 1",
        "candidate": "onnx_runtime",
        "largest_difference": 1e-6,
        "tolerance": 1e-4,
        "images": 1,
    }
    return ParityRow(**{**row, **changes})


def _network(exported: Any) -> Network:
    return inspect(exported.model, Declaration.of(exported.result.manifest.interface))


def test_perturbed_onnx_weight_is_caught(exported, images, tmp_path):
    shutil.copytree(exported.version_dir, tmp_path / "1")
    file = onnx.load(tmp_path / "1" / "model.onnx")
    (weights,) = [tensor for tensor in file.graph.initializer if list(tensor.dims) == [72, 4]]
    values = onnx.numpy_helper.to_array(weights).copy()
    values[40, 2] += 0.01  # Of the pixel in the middle, (4, 4), of the crops.
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(file, tmp_path / "1" / "model.onnx")
    network = _network(exported)
    rows = parity(network, tmp_path / "1", expect(network, {"images": images}))
    failed = {row.candidate for row in rows if not row.passed}
    assert failed == {"onnx_runtime", "onnx_runtime/unoptimised", "onnx_runtime/ours"}
    with pytest.raises(ParityError, match=r"of onnx_r.* differs from the live model by"):
        require(rows)


def test_perturbed_onnx_sampler_is_caught(exported, images, tmp_path):
    shutil.copytree(exported.version_dir, tmp_path / "1")
    file = onnx.load(tmp_path / "1" / "model.onnx")
    (sampler,) = [node for node in file.graph.node if node.op_type == "AffineGridSample"]
    (attribute,) = [a for a in sampler.attribute if a.name == "body_align_corners"]
    attribute.i = 1
    onnx.save(file, tmp_path / "1" / "model.onnx")
    network = _network(exported)
    rows = parity(network, tmp_path / "1", expect(network, {"images": images}))
    failed = {row.output for row in rows if not row.passed}
    assert {"crops", "logits"} <= failed
    assert not {"theta", "corners"} & failed
    # Our own operation does not read what the function reads.
    candidates = {row.candidate for row in rows if not row.passed}
    assert candidates == {"onnx_runtime", "onnx_runtime/unoptimised"}


def test_other_saved_model_is_caught(exported, classifier, images, tmp_path):
    other = classifier()
    other.get_layer("logits").bias.assign_add([0.0, 0.001, 0.0, 0.0])
    saved_model(other, tmp_path / "1", classes=["ant", "bee", "cat", "dög"], input_range=(0, 1))
    shutil.copy(exported.version_dir / "model.onnx", tmp_path / "1")
    network = _network(exported)
    rows = parity(network, tmp_path / "1", expect(network, {"images": images}))
    failed = {row.candidate for row in rows if not row.passed}
    assert failed == {"saved_model", "saved_model/serving_bytes"}


def test_nearest_is_not_judged_on_ties(classifier, images, tmp_path):
    result = export_model(classifier("similarity", kernel="nearest"), tmp_path, images=images)
    rows = result.manifest.parity
    assert min(row.images for row in rows) >= 1
    theta = [row.images for row in rows if row.output == "theta" and "batch 7" in row.case]
    assert set(theta) == {7}


def test_worst_row_is_named():
    rows = [
        _row(),
        _row(output="theta", tolerance=1e-5, largest_difference=1e-3, case="adversarial"),
        _row(largest_difference=2e-4),
    ]
    text = (
        "`theta` of onnx_runtime differs from the live model by 0.001 on adversarial, and at "
        "most 1e-05 is allowed (2 of 3 comparisons failed). Nothing was written."
    )
    with pytest.raises(ParityError) as error:
        require(rows)
    assert str(error.value) == text


def test_nan_is_a_failure():
    with pytest.raises(ParityError, match="by nan"):
        require([_row(largest_difference=float("nan")), _row(largest_difference=9.0)])


def test_good_rows_pass():
    require([_row(), _row(largest_difference=0.0, tolerance=0.0)])
    assert np.isfinite(_row().tolerance)
