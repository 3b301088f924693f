"""Rescued SavedModels against NumPy, stock TensorFlow and ONNX Runtime."""

import os
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

import stn_tf
from stn_tf import native
from stn_tf.export.migration import rescue as migration
from stn_tf.export.migration.rescue import migrate
from stn_tf.export.onnx_passes.find import samplers_in
from stn_tf.export.proof.validation import validate
from stn_tf.export.publish.manifest import read_manifest
from tests import reference
from tests.export.resampler_models import (
    IMAGES,
    PIXELS,
    answers,
    as_contrib,
    edit,
    expected_of,
    onnx_answers,
    resampler,
    resampler_gradient,
    saved,
)
from tests.pairs import every_pair

v1 = tf.compat.v1


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    if not native.is_available():
        pytest.skip(f"the native sampler is not there: {native.load_error()}")


@pytest.mark.parametrize(
    ("images_shape", "pixels_shape"),
    [
        ([None, 6, 7, 3], [None, 4, 5, 2]),
        ([None, None, None, 3], [None, None, None, 2]),
        ([None, 6, 7, 3], [None, 9, 2]),
        ([None, 6, 7, 3], [None, 2]),
        ([None, 6, 7, 3], [None, 2, 3, 4, 2]),
        ([None, 1, 7, 2], [None, 4, 5, 2]),
        ([None, 1, 1, 1], [None, 4, 5, 2]),
    ],
)
def test_values(images_shape, pixels_shape, tmp_path, rng):
    specs = [tf.TensorSpec(images_shape, name="images"), tf.TensorSpec(pixels_shape, name="pixels")]
    result = migrate(saved(tmp_path / "old", resampler, *specs), tmp_path / "out")
    assert result.version_dir == tmp_path / "out" / "1"
    assert result.replaced == {"Addons>Resampler": 1}
    assert {row.candidate for row in result.parity} >= {"sampler", "saved_model", "onnx_runtime"}
    images = rng.normal(size=[size or 5 for size in images_shape]).astype(np.float32)
    shape = [5, *(size or 6 for size in pixels_shape[1:])]
    pixels = rng.uniform(-2, 8, shape).astype(np.float32)
    pixels.reshape(-1)[::3] = np.round(pixels.reshape(-1)[::3])
    expected = expected_of(images, pixels)
    assert np.abs(expected).max() > 0.1
    found = answers(result.version_dir, images=images, pixels=pixels)["crops"]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    found = onnx_answers(result.version_dir, images=images, pixels=pixels)["crops"]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_points_that_are_no_numbers_read_zero(tmp_path):
    out = migrate(saved(tmp_path / "old", resampler, IMAGES, PIXELS), tmp_path / "out").version_dir
    pixels = np.full((1, 4, 5, 2), 2.0, np.float32)
    pixels[0, :, 0, 0] = [np.nan, np.inf, -np.inf, 3e38]
    for run in (answers, onnx_answers):
        crops = run(out, images=np.ones((1, 6, 7, 3), np.float32), pixels=pixels)["crops"]
        assert np.all(crops[0, :, 0] == 0)
        assert np.all(crops[0, :, 1:] == 1)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [("float16", 2e-3), ("bfloat16", 2e-2), ("float64", 1e-13)]
)
def test_other_types(dtype, tolerance, tmp_path, rng):
    specs = [tf.TensorSpec(spec.shape, dtype, spec.name) for spec in (IMAGES, PIXELS)]
    # ONNX Runtime has no bfloat16 on CPUs.
    onnx_too = dtype != "bfloat16"
    out = migrate(saved(tmp_path / "old", resampler, *specs), tmp_path / "out", onnx=onnx_too)
    numpy_type = tf.as_dtype(dtype).as_numpy_dtype
    images = rng.normal(size=(2, 6, 7, 3)).astype(numpy_type)
    pixels = rng.uniform(-2, 8, (2, 4, 5, 2)).astype(numpy_type)
    crops = answers(out.version_dir, images=images, pixels=pixels)["crops"]
    assert crops.dtype == numpy_type
    expected = expected_of(images.astype(np.float64), pixels.astype(np.float64))
    np.testing.assert_allclose(crops.astype(np.float64), expected, atol=tolerance, rtol=tolerance)


def test_large_images_lose_nothing(tmp_path):
    specs = [tf.TensorSpec([None, 224, 300, 1], name=n) for n in ("images",)]
    specs.append(tf.TensorSpec([None, 224, 300, 2], name="pixels"))
    result = migrate(saved(tmp_path / "old", resampler, *specs), tmp_path / "out", onnx=False)
    assert max(row.largest_difference / row.tolerance for row in result.parity) < 0.1


@pytest.mark.slow
def test_a_process_without_this_package(tmp_path, rng):
    out = migrate(saved(tmp_path / "old", resampler, IMAGES, PIXELS), tmp_path / "out").version_dir
    feeds = {
        "images": rng.normal(size=(3, 6, 7, 3)).astype(np.float32),
        "pixels": rng.uniform(-2, 8, (3, 4, 5, 2)).astype(np.float32),
    }
    np.savez(tmp_path / "feeds.npz", **feeds)
    program = (
        "import sys, numpy as np, tensorflow as tf\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        "feeds = {k: tf.constant(v) for k, v in np.load(sys.argv[2]).items()}\n"
        "np.save(sys.argv[3], model.signatures['serving_default'](**feeds)['crops'])\n"
        "assert not any(name.startswith('stn_tf') for name in sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, out, tmp_path / "feeds.npz", tmp_path / "crops.npy"],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    found = np.load(tmp_path / "crops.npy")
    np.testing.assert_allclose(found, expected_of(feeds["images"], feeds["pixels"]), atol=2e-6)


class Resampled(keras.layers.Layer):
    """Shifts images by a learned number of pixels."""

    def build(self, input_shape: Any) -> None:
        self.shift = self.add_weight(shape=(2,), initializer=keras.initializers.Constant(0.3))

    def call(self, images: tf.Tensor) -> tf.Tensor:
        x, y = tf.meshgrid(tf.range(7.0), tf.range(6.0))
        pixels = tf.stack([x, y], -1)[tf.newaxis] + self.shift
        pixels = tf.repeat(pixels, tf.shape(images)[0], axis=0)
        return native.operations().addons_resampler(images, pixels)


def test_keras_model_with_variables_and_assets(tmp_path, rng):
    images = keras.Input((6, 7, 3), name="images")
    twice = Resampled()(Resampled()(images))
    model = keras.Model(images, keras.layers.Dense(4)(keras.layers.Flatten()(twice)))
    model.export(str(tmp_path / "old"), verbose=False)
    (tmp_path / "old" / "assets.extra").mkdir(exist_ok=True)
    (tmp_path / "old" / "assets.extra" / "note.txt").write_text("kept")
    result = migrate(tmp_path / "old", tmp_path / "out")
    out, count = result.version_dir, result.replaced["Addons>Resampler"]
    assert count >= 2
    values = rng.uniform(size=(7, 6, 7, 3)).astype(np.float32)
    for run in (answers, onnx_answers):
        (found,) = run(out, images=values).values()
        np.testing.assert_allclose(found, model(values), atol=1e-5)
    assert len(samplers_in(onnx.load(out / "model.onnx"))) == 2
    assert (out / "assets.extra" / "note.txt").read_text() == "kept"
    assert (out / migration.REPORT_FILE).is_file()
    assert_a_version_like_every_other(out, "images")
    assert not (out / "fingerprint.pb").exists()
    assert b"Resampler" not in (out / "saved_model.pb").read_bytes().replace(
        b"/Addons>Resampler", b""
    )


@pytest.mark.parametrize("contrib", [False, True], ids=["addons", "contrib"])
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
def test_tensorflow_1(contrib, training, tmp_path, rng):
    with tf.Graph().as_default(), v1.Session() as session:
        images = v1.placeholder(tf.float32, [None, 6, 7, 3], "images")
        shift = v1.get_variable("shift", [2], initializer=v1.constant_initializer([0.7, -1.2]))
        x, y = np.meshgrid(np.arange(7.0), np.arange(6.0))
        base = tf.constant(np.stack([x, y], -1)[np.newaxis], tf.float32)
        pixels = tf.repeat(base + shift, tf.shape(images)[0], axis=0)
        crops = native.operations().addons_resampler(images, pixels)
        if training:
            v1.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_sum(crops))
        session.run(v1.global_variables_initializer())
        definition = v1.saved_model.predict_signature_def({"images": images}, {"crops": crops})
        builder = v1.saved_model.Builder(str(tmp_path / "old"))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": definition})
        builder.save()
    if contrib:
        edit(tmp_path / "old", as_contrib)
    result = migrate(tmp_path / "old", tmp_path / "out")
    assert result.replaced == {"Resampler" if contrib else "Addons>Resampler": 1}
    assert bool(result.dropped) == training
    values = rng.normal(size=(2, 6, 7, 3)).astype(np.float32)
    moved = np.repeat(np.stack([x, y], -1)[np.newaxis] + np.float32([0.7, -1.2]), 2, axis=0)
    for run in (answers, onnx_answers):
        found = run(result.version_dir, images=values)["crops"]
        np.testing.assert_allclose(found, expected_of(values, moved), atol=2e-5)
    assert_a_version_like_every_other(result.version_dir, "images")


def assert_a_version_like_every_other(version, name):
    """It has a manifest, and what the compiled original said."""
    manifest = read_manifest(version)
    assert [spec.name for spec in manifest.interface.inputs] == [name]
    assert manifest.onnx.opset == 18
    found = validate(version)
    assert found.passed
    assert {row.candidate for row in found.parity} == {
        *("saved_model", "onnx_runtime", "onnx_runtime/unoptimised", "onnx_runtime/ours")
    }
    assert {row.case for row in found.parity} >= {"random, batch 7", "checkerboard, batch 1"}


# Their pairs are held by tests/conformance: here each is read from an attribute.
@every_pair(
    together=1,
    kernel=["bilinear", "nearest", "bicubic"],
    padding=["zeros", "border", "reflection"],
)
def test_our_own_grid_sample(kernel, padding, tmp_path, rng):
    def sample(images: tf.Tensor, grid: tf.Tensor) -> dict[str, tf.Tensor]:
        with stn_tf.native_sampler():
            return {"crops": stn_tf.grid_sample(images, grid, kernel=kernel, padding=padding)}

    grid_spec = tf.TensorSpec(PIXELS.shape, name="grid")
    result = migrate(saved(tmp_path / "old", sample, IMAGES, grid_spec), tmp_path / "out")
    assert result.replaced == {"StnTf>GridSample": 1}
    images = rng.normal(size=(2, 6, 7, 3)).astype(np.float32)
    grid = rng.uniform(-1.5, 1.5, (2, 4, 5, 2)).astype(np.float32)
    expected = reference.grid_sample(images, grid, kernel, padding, False)
    for run in (answers, onnx_answers):
        crops = run(result.version_dir, images=images, grid=grid)["crops"]
        np.testing.assert_allclose(crops, expected, atol=2e-5)


@pytest.mark.parametrize(("transform", "size"), [("affine", (2, 3)), ("projective", (8,))])
def test_our_own_warp(transform, size, tmp_path, rng):
    def warped(images: tf.Tensor, theta: tf.Tensor) -> dict[str, tf.Tensor]:
        with stn_tf.native_sampler():
            return {"crops": stn_tf.warp(images, theta, (4, 5), transform=transform)}

    theta_spec = tf.TensorSpec([None, *size], name="theta")
    result = migrate(saved(tmp_path / "old", warped, IMAGES, theta_spec), tmp_path / "out")
    assert result.replaced == {"StnTf>Warp": 1}
    images = rng.normal(size=(2, 6, 7, 3)).astype(np.float32)
    theta = rng.normal(scale=0.3, size=(2, *size)).astype(np.float32)
    grid = reference.grid(transform, theta, (4, 5), False)
    expected = reference.grid_sample(images, grid, "bilinear", "zeros", False)
    for run in (answers, onnx_answers):
        crops = run(result.version_dir, images=images, theta=theta)["crops"]
        np.testing.assert_allclose(crops, expected, atol=2e-5)


def test_training_function_is_dropped_and_inference_stays(tmp_path):
    train = tf.function(resampler_gradient, input_signature=[IMAGES, PIXELS])
    old = saved(tmp_path / "old", resampler, IMAGES, PIXELS, train=train)
    result = migrate(old, tmp_path / "out")
    assert len(result.dropped) == 1
    assert "resampler_gradient" in result.dropped[0]
    loaded = tf.saved_model.load(str(result.version_dir))
    feeds = tf.ones([1, 6, 7, 3]), tf.ones([1, 4, 5, 2])
    assert np.all(loaded.serve(*feeds)["crops"] == 1.0)
    with pytest.raises(ValueError, match="zero restored functions"):
        loaded.train(*feeds)


def test_a_migrated_model_can_be_trained(tmp_path, rng):
    out = migrate(saved(tmp_path / "old", resampler, IMAGES, PIXELS), tmp_path / "out").version_dir
    images = tf.constant(rng.normal(size=(2, 6, 7, 3)), tf.float32)
    pixels = tf.constant(rng.uniform(-2, 8, (2, 4, 5, 2)), tf.float32)
    loaded = tf.saved_model.load(str(out))
    gradients = []
    for function in (resampler, loaded.serve):
        with tf.GradientTape() as tape:
            tape.watch([images, pixels])
            total = tf.reduce_sum(tf.square(function(images, pixels)["crops"]))
        gradients.append(tape.gradient(total, [images, pixels]))
    for expected, found in zip(*gradients, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
