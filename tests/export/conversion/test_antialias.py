"""A transformer with samples spread over its pixels, in files of every form."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from stn_tf.export import OnnxOptions, export_model
from stn_tf.export.conversion.onnx_file import convert
from stn_tf.export.onnx_passes.find import samplers_in
from stn_tf.export.proof.runtimes.onnx_runtime import onnx_runtime
from stn_tf.export.source.keras_network import inspect
from stn_tf.geometry import get_transform
from stn_tf.layers import Warp, record_transformations
from tests import reference
from tests.export.conftest import INPUT, make_classifier

SIZE = (7, 6)  # Half of the images' sizes.
# Samples are read by a matrix each, or all at the points of one grid.
THETA_SIZES = {"affine": (2, 3), "attention": (3,), "projective": (8,), "tps": (16, 2)}


@pytest.fixture(scope="module")
def function() -> tf.types.experimental.ConcreteFunction:
    """A layer of each transform, an output each."""
    layers = [Warp(transform, SIZE, antialias=2) for transform in THETA_SIZES]
    specs = [tf.TensorSpec([None, *INPUT], name="images")]
    specs += [tf.TensorSpec([None, *size], name=name) for name, size in THETA_SIZES.items()]

    def call(images: tf.Tensor, *thetas: tf.Tensor) -> list[tf.Tensor]:
        return [layer([images, theta]) for layer, theta in zip(layers, thetas, strict=True)]

    return tf.function(call, input_signature=specs, autograph=False).get_concrete_function()


@pytest.mark.parametrize("form", ["dual", "standard", "custom"])
def test_onnx(form: str, function: tf.types.experimental.ConcreteFunction) -> None:
    outputs = [f"{name}_crops" for name in THETA_SIZES]
    model = convert(function, ["images", *THETA_SIZES], outputs, OnnxOptions(sampler=form))
    samplers = samplers_in(model)
    # Where matrices tell the whole map a node a sample, and else one for all of them.
    assert len(samplers) == 4 + 4 + 1 + 1
    rng = np.random.default_rng(0)
    for count in (1, 3):
        feeds = {"images": rng.uniform(size=(count, *INPUT)).astype(np.float32)}
        for name, size in THETA_SIZES.items():
            theta = get_transform(name).identity() + rng.uniform(-0.1, 0.1, (count, *size))
            feeds[name] = theta.astype(np.float32)
        for ours in (True,) if form == "custom" else (False, True):
            answers = onnx_runtime(model.SerializeToString(), ours=ours)(feeds)
            for name in THETA_SIZES:
                grids = reference.spread_grids(name, feeds[name], SIZE, INPUT[:2], False, 2)
                samples = [
                    reference.grid_sample(feeds["images"], grid, "bilinear", "zeros", False)
                    for grid in grids
                ]
                found = answers[f"{name}_crops"]
                np.testing.assert_allclose(found, np.mean(samples, axis=0), atol=2e-5)


@pytest.mark.slow
def test_version(tmp_path: Path, images: np.ndarray) -> None:
    model = make_classifier(antialias=2)
    result = export_model(model, tmp_path, images=images, task="classification", input_range=(0, 1))
    (sampler,) = result.manifest.samplers
    assert sampler.antialias == 2
    assert all(row.passed for row in result.manifest.parity)
    expected = model(images[:5])
    file = (result.version_dir / "model.onnx").read_bytes()
    for ours in (False, True):
        found = onnx_runtime(file, ours=ours)({"images": images[:5]})["logits"]
        np.testing.assert_allclose(found, expected, atol=1e-4)
    signature = tf.saved_model.load(str(result.version_dir)).signatures["serving_default"]
    found = signature(images=tf.constant(images[:5]))["logits"]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_ties_of_every_sample(images: np.ndarray) -> None:
    """Where `nearest` may take either of two pixels, for any sample of a pixel."""
    model = make_classifier("affine", antialias=2, kernel="nearest")
    with record_transformations() as records:
        model(images)
    theta, size = records[0].theta.numpy(), records[0].crops.shape[1:3]
    grids = reference.spread_grids("affine", theta, tuple(size), INPUT[:2], False, 2)
    pixels = ((grids + 1) * INPUT[1::-1] - 1) / 2
    near = np.abs(pixels - np.floor(pixels) - 0.5) < 1e-3
    expected = np.any(near, axis=(0, 2, 3, 4))
    assert 0 < expected.sum() < len(images)
    np.testing.assert_array_equal(inspect(model).ties({"images": images}), expected)
