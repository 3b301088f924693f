"""The gate's comparison of one sampler: of the kind that the network has, and able to fail."""

import itertools

import numpy as np
import onnx
import pytest

from stn_tf.export import OnnxOptions
from stn_tf.export.onnx_passes.find import samplers_in
from stn_tf.export.proof import parity_sampler
from stn_tf.export.proof.parity_cases import sampler_cases, sampler_images
from stn_tf.export.proof.parity_sampler import compare_sampler
from stn_tf.export.sampler_spec import SamplerSpec, is_sampler
from stn_tf.geometry import get_transform
from stn_tf.sampling.grid_sample import KERNELS, PADDINGS
from tests import reference
from tests.pairs import parameters

KINDS = [("grid", 2), ("affine", 2), ("projective", 2), ("grid", 3)]
SEMANTICS = list(itertools.product(KERNELS, PADDINGS, (False, True)))
every_kind = pytest.mark.parametrize(("points", "dimensions"), KINDS)


# A third of the semantics for each kind, and each for at least one.
SAMPLINGS = [
    SamplerSpec(*semantics, points, dimensions)
    for index, (points, dimensions) in enumerate(KINDS)
    for semantics in SEMANTICS[index % 3 :: 3]
]


def _choices(sampling):
    return sampling[:5]


@pytest.mark.parametrize("sampling", parameters(SAMPLINGS, _choices), ids=str)
def test_every_sampler_passes(sampling):
    # The one kind that only our library computes.
    bicubic_volumes = sampling.dimensions == 3 and sampling.kernel == "bicubic"
    form = "custom" if bicubic_volumes else None
    rows = list(compare_sampler(sampling, OnnxOptions(sampler=form)))
    candidates = {row.candidate for row in rows}
    stock = {"onnx_runtime", "onnx_reference"}
    assert candidates == {"onnx_runtime/ours"} | (set() if bicubic_volumes else stock)
    assert {row.case.split(" (")[0] for row in rows} == set(sampler_cases(sampling))
    for row in rows:
        assert row.passed, row


@every_kind
@pytest.mark.parametrize("semantics", SEMANTICS[::5], ids=str)
def test_the_live_answers_are_the_references(semantics, points, dimensions):
    sampling = SamplerSpec(*semantics, points, dimensions)
    images = sampler_images(dimensions)
    for name, values in sampler_cases(sampling).items():
        if not np.isfinite(values).all() or np.abs(values).max() > 1e6:
            continue  # The reference has no infinite points.
        grid = values
        if points != "grid":
            family = get_transform(points)
            size, aligned = images.shape[1:-1], sampling.align_corners
            grid = np.asarray(family.grid(values.astype(np.float64), size, align_corners=aligned))
        expected = reference.grid_sample(images, grid, *semantics)
        found = parity_sampler._sample(sampling, images, values)
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=name)


@every_kind
def test_the_file_has_the_node_that_is_compared(points, dimensions, monkeypatch):
    seen = []

    def runtimes(model: onnx.ModelProto) -> dict:
        seen.extend(node for node in model.graph.node if is_sampler(node))
        return {}

    monkeypatch.setattr(parity_sampler, "_runtimes", runtimes)
    sampling = SamplerSpec("bilinear", "zeros", False, points, dimensions)
    assert list(compare_sampler(sampling, OnnxOptions())) == []
    names = {"affine": "AffineGridSample", "projective": "ProjectiveGridSample"}
    grid = "GridSample" if dimensions == 2 else "GridSample3D"
    assert [node.op_type for node in seen] == [names.get(points, grid)]


@every_kind
@pytest.mark.parametrize("attribute", ["kernel", "padding", "align_corners"])
def test_another_semantics_in_the_file_is_found(attribute, points, dimensions, monkeypatch):
    convert = parity_sampler.convert

    def wrong(*arguments):
        model = convert(*arguments)
        (node,) = samplers_in(model)
        other = {"kernel": b"nearest", "padding": b"border", "align_corners": 1}[attribute]
        for entry in node.attribute:
            if entry.name in (attribute, f"body_{attribute}") or (attribute, entry.name) == (
                "kernel",
                "body_mode",
            ):
                setattr(entry, "i" if attribute == "align_corners" else "s", other)
            if (attribute, entry.name) == ("padding", "body_padding_mode"):
                entry.s = other
        return model

    monkeypatch.setattr(parity_sampler, "convert", wrong)
    sampling = SamplerSpec("bilinear", "zeros", False, points, dimensions)
    rows = list(compare_sampler(sampling, OnnxOptions()))
    for candidate in ("onnx_runtime", "onnx_reference", "onnx_runtime/ours"):
        assert not all(row.passed for row in rows if row.candidate == candidate)
