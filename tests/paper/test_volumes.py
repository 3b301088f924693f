"""Extruded digits in volumes: their voxels, the networks that read them, a run of them."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.data import keys
from stn_tf.errors import ConfigError
from stn_tf.experiments import Run, load_experiment, train
from stn_tf.layers import record_transformations, spatial_transformers
from stn_tf.paper import (
    PARAMETER_BUDGET,
    VOLUME_NETWORKS,
    Examples,
    ExtrudedDigits,
    build_volume_network,
    load_source,
)
from stn_tf.paper.volumes import VolumesRecipe, extruded

SIDE, THICKNESS = 60, 16


@pytest.fixture(scope="module")
def digits() -> Examples:
    return load_source("digits").train[:40]


def scenes(examples: Examples, **changes: Any) -> ExtrudedDigits:
    values = {"side": SIDE, "thickness": THICKNESS, "degrees": 45.0, **changes}
    return ExtrudedDigits(examples, **values)


def drawn(examples: Examples, **changes: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Volumes of all examples, and what was drawn for them."""
    made = scenes(examples, **changes)
    parameters = made.draw(keys.make_key(3, 0), len(examples))
    volumes, labels = made.make(parameters, tf.range(len(examples), dtype=tf.int64))
    np.testing.assert_array_equal(labels, examples.labels)
    return volumes.numpy(), {name: value.numpy() for name, value in parameters.items()}


def trilinear(slab: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Reads `[d, h, w]` at points `[n, 3]` of (x, y, z) in voxels, with zeros around it."""
    ringed = np.pad(slab.astype(np.float64), 1)
    first = np.floor(points).astype(int)
    total = np.zeros(len(points))
    for corner in np.ndindex(2, 2, 2):
        place = first + corner
        weight = np.prod(1.0 - np.abs(points - place), axis=-1)
        x, y, z = (np.clip(place + 1, 0, np.array(ringed.shape)[::-1] - 1)).T
        total += weight * ringed[z, y, x]
    return total


@pytest.mark.parametrize("degrees", [45.0, 180.0])
def test_voxels_are_a_turned_slab_read_trilinearly(digits: Examples, degrees: float) -> None:
    examples = digits[:4]
    volumes, parameters = drawn(examples, degrees=degrees)
    depth, height, width = np.indices((SIDE, SIDE, SIDE)).reshape(3, -1)
    voxels = np.stack([width, height, depth], -1).astype(np.float64)
    for image, volume, rotation, shift in zip(
        examples.images[..., 0], volumes, parameters["rotation"], parameters["shift"], strict=True
    ):
        slab = np.repeat(image[None] / 255.0, THICKNESS, axis=0)
        centre = (np.array(slab.shape)[::-1] - 1) / 2
        points = (voxels - (SIDE - 1) / 2 - shift) @ rotation.astype(np.float64) + centre
        np.testing.assert_allclose(volume.ravel(), trilinear(slab, points), atol=5e-5)


def test_a_slab_that_is_not_turned_is_the_digit_in_every_slice(digits: Examples) -> None:
    images = tf.constant(digits.images[:3, ..., 0] / np.float32(255))
    shift = tf.constant([[0, 0, 0], [5, -3, 7], [-16, 16, -22]], tf.float32)
    volumes = extruded(images, tf.eye(3, batch_shape=[3]), shift, THICKNESS, SIDE).numpy()
    for image, volume, (x, y, z) in zip(images.numpy(), volumes, shift.numpy(), strict=True):
        expected = np.zeros((SIDE, SIDE, SIDE))
        left, top, front = int(16 + x), int(16 + y), int(22 + z)
        expected[front : front + THICKNESS, top : top + 28, left : left + 28] = image
        np.testing.assert_allclose(volume[..., 0], expected, atol=1e-6)


@pytest.mark.parametrize("degrees", [0.0, 45.0, 180.0])
def test_a_digit_is_somewhere_and_never_leaves_the_volume(digits: Examples, degrees: float) -> None:
    volumes, parameters = drawn(digits, degrees=degrees)
    mass = (digits.images / 255.0).sum(axis=(1, 2, 3)) * THICKNESS
    np.testing.assert_allclose(volumes.sum(axis=(1, 2, 3, 4)), mass, rtol=5e-3)
    assert 0.0 <= volumes.min() < volumes.max() <= 1.0 + 1e-6
    rotation = parameters["rotation"]
    product = rotation @ rotation.swapaxes(1, 2)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-5)
    # The cosines of two tilts, one after the other, multiply.
    least = np.cos(np.deg2rad(degrees)) ** 2 if degrees < 90 else -1.0
    assert least - 1e-5 <= rotation[:, 2, 2].min() <= least + 0.3
    assert np.ptp(parameters["shift"], axis=0).min() > 6


def test_a_replica_makes_its_slice_of_the_batch(digits: Examples) -> None:
    volumes, parameters = drawn(digits[:6])
    mine = {name: tf.constant(values[4:]) for name, values in parameters.items()}
    again, _ = scenes(digits[:6]).make(mine, tf.constant([4, 5], tf.int64))
    np.testing.assert_array_equal(again, volumes[4:])


def test_networks_have_equally_many_parameters() -> None:
    for name in VOLUME_NETWORKS:
        model = build_volume_network(name, (SIDE, SIDE, SIDE, 1))
        assert model.count_params() == pytest.approx(PARAMETER_BUDGET, rel=0.02), name
        assert model.input_shape == (None, SIDE, SIDE, SIDE, 1)
        assert model.output_shape == (None, 10)
        assert len(spatial_transformers(model)) == ("st" in name)


def test_an_untrained_transformer_shows_the_volume(digits: Examples) -> None:
    """And a side that the pooling does not divide is no hindrance."""
    model = build_volume_network("st-3d", (50, 50, 50, 1), crop_side=50)
    (transformer,) = spatial_transformers(model)
    assert transformer.transform.theta_shape == (3, 4)
    volumes, _ = drawn(digits[:2], side=50)
    with record_transformations() as records:
        model(volumes)
    np.testing.assert_array_equal(records[0].crops, volumes)


def test_a_volume_is_pooled_by_cubes(rng: np.random.Generator) -> None:
    volumes = rng.random((2, 50, 50, 50, 1), np.float32)
    model = build_volume_network("st-3d", (50, 50, 50, 1))
    (transformer,) = spatial_transformers(model)
    localisation = transformer.localisation
    pooled = localisation.get_layer("conv_1").input
    found = keras.Model(localisation.input, pooled)(volumes)
    cubes = volumes[:, :48, :48, :48].reshape(2, 12, 4, 12, 4, 12, 4, 1)
    np.testing.assert_allclose(found, cubes.mean(axis=(2, 4, 6)), atol=1e-6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of few steps on small volumes."""
    folder = tmp_path_factory.mktemp("volumes") / "run"
    changes = ["steps=2", "batch_size=8", "side=48", "crop_side=21", "evaluate_every=2"]
    config: Any = load_experiment("digits-volumes", [*changes, "deterministic=false"])
    train(config, folder, progress=False)
    return folder


def test_a_run_reports(run: Path) -> None:
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert (report["model"], report["test_images"]) == ("st-3d", 359)
    assert 0.0 < report["error_percent"] <= 100.0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "A volume is drawn as its mean along depth" in page
    assert "data:image/png" in page


@pytest.mark.slow
def test_a_run_exports(run: Path, tmp_path: Path) -> None:
    import onnxruntime

    from stn_tf.export import export_run

    version = export_run(run, tmp_path).version_dir
    volumes, _ = Run(run).examples("test", 5)
    model = Run(run).load_model()
    expected, allowed = model(volumes), {"rtol": 1e-4, "atol": 1e-5}
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    np.testing.assert_allclose(signature(tf.constant(volumes))["logits"], expected, **allowed)
    session = onnxruntime.InferenceSession(
        str(version / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    (logits,) = session.run(["logits"], {"images": volumes})
    np.testing.assert_allclose(logits, expected, **allowed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["side=47"], "`side` must be at least 48, as the networks are made for, but it is 47"),
        (["thickness=50"], "`side` must be at least 64, so that a slab of 28 x 28 x 50 voxels"),
        (["thickness=0"], "`thickness` must be greater than or equal to 1, but it is 0"),
        (["degrees=181.0"], "`degrees` must be less than or equal to 180, but it is 181"),
        (["crop_side=20"], "`crop_side` must be greater than or equal to 21, but it is 20"),
        (["schedule=paper"], "`schedule` must be 'short' or 'long', but it is 'paper'"),
        (["model=st-3b"], "`model` must be one of cnn-flattened, cnn-3d, st-3d, .*mean `st-3d`"),
    ],
)
def test_exception_raised(changes: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VolumesRecipe().prepare(load_experiment("digits-volumes", changes))


def test_no_such_network_exception_raised() -> None:
    with pytest.raises(ValueError, match=r"`name` must be one of cnn-flattened, .* it is 'cnn'"):
        build_volume_network("cnn", (SIDE, SIDE, SIDE, 1))
    with pytest.raises(ValueError, match="`input_shape` must have at least 48 voxels to each side"):
        build_volume_network("st-3d", (60, 47, 60, 1))
