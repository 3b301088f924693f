"""A loss on theta by its components, and the thetas that undo distortions."""

import json
import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.data import keys
from stn_tf.errors import ConfigError
from stn_tf.experiments import Run, load_experiment, train
from stn_tf.paper import DistortedImages, distort, draw, load_source
from stn_tf.paper.distortions import UNDONE, undoing
from stn_tf.paper.recipe import PaperRecipe
from stn_tf.paper.theta_loss import ThetaLoss


def compose(angle: float, sx: float, sy: float, shear: float, tx: float, ty: float) -> np.ndarray:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = turn @ np.array([[sx, shear], [0.0, sy]])
    return np.concatenate([linear, [[tx], [ty]]], axis=1)


def test_reference(rng: np.random.Generator) -> None:
    """Thetas made of known components: NumPy knows their differences without taking them apart."""
    parts = rng.uniform([-3, 0.3, 0.3, -0.4, -1, -1], [3, 1.5, 1.5, 0.4, 1, 1], (2, 20, 6))
    thetas = [np.stack([compose(*row) for row in several]) for several in parts]
    difference = parts[0] - parts[1]
    expected = 2 * (1 - np.cos(difference[:, 0])) + (difference[:, 1:] ** 2).sum(axis=1)
    found = ThetaLoss(0.5, reduction="none")(*(t.astype(np.float32) for t in thetas))
    np.testing.assert_allclose(found, 0.5 * expected, rtol=2e-5, atol=1e-6)


def test_a_flat_theta_has_a_gradient() -> None:
    theta = tf.Variable(tf.zeros([1, 2, 3]))
    with tf.GradientTape() as tape:
        loss = ThetaLoss()(tf.constant([[[1.0, 0, 0], [0, 1.0, 0]]]), theta)
    assert np.isfinite(tape.gradient(loss, theta)).all()


def test_it_is_saved() -> None:
    loss = keras.losses.deserialize(keras.losses.serialize(ThetaLoss(0.3)))
    assert isinstance(loss, ThetaLoss)
    assert loss.weight == 0.3


@pytest.mark.parametrize("distortion", UNDONE)
def test_undoing_gives_the_image_back(distortion: str) -> None:
    """Sampled by NumPy, bilinear, at the true theta: nearly the digit that was distorted."""
    examples = load_source("digits").train[:12]
    scenes = DistortedImages(examples, distortion, with_theta=True)
    parameters = scenes.draw(keys.make_key(3, 1), 12)
    images, y = scenes.make(parameters, tf.range(12, dtype=tf.int64))
    np.testing.assert_array_equal(y["logits"], examples.labels)
    for image, theta, original in zip(
        images.numpy(), y["theta"].numpy(), examples.images, strict=True
    ):
        seen = sampled(image[..., 0].astype(np.float64), theta.astype(np.float64))
        wanted = original[..., 0] / 255.0
        # Clutter may lie on the digit; turning twice blurs it.
        assert np.corrcoef(seen.ravel(), wanted.ravel())[0, 1] > (
            0.7 if distortion == "tc" else 0.95
        )


def sampled(image: np.ndarray, theta: np.ndarray, size: int = 28) -> np.ndarray:
    centres = (2 * np.arange(size) + 1) / size - 1
    x, y = np.meshgrid(centres, centres)
    points = theta @ np.stack([x.ravel(), y.ravel(), np.ones(size * size)])
    height, width = image.shape
    px, py = ((points[0] + 1) * width - 1) / 2, ((points[1] + 1) * height - 1) / 2
    padded = np.pad(image, 2)
    px, py = np.clip(px, -1.5, width + 0.5) + 2, np.clip(py, -1.5, height + 0.5) + 2
    x0, y0 = np.floor(px).astype(int), np.floor(py).astype(int)
    fx, fy = px - x0, py - y0
    top = padded[y0, x0] * (1 - fx) + padded[y0, x0 + 1] * fx
    low = padded[y0 + 1, x0] * (1 - fx) + padded[y0 + 1, x0 + 1] * fx
    return (top * (1 - fy) + low * fy).reshape(size, size)


def test_distortions_of_a_folder_of_other_shape() -> None:
    """Amounts grow with images, and width is not height."""
    pool = tf.zeros([3, 20, 40, 1], tf.uint8)
    parameters = draw("rts", keys.make_key(0, 0), 3, (20, 40))
    canvas = distort("rts", parameters, pool, tf.range(3, dtype=tf.int64))
    theta = undoing("rts", parameters, (20, 40)).numpy()
    assert canvas.shape == (3, 30, 60, 1)
    linear = theta[:, :, :2] * np.array([[60 / 40, 60 / 20], [30 / 40, 30 / 20]])
    np.testing.assert_allclose(np.linalg.det(linear), np.square(parameters["scale"]), rtol=1e-5)


@pytest.mark.parametrize("changes", [["model=st-cnn-tps"], ["distortion=p"], ["model=cnn"]])
def test_where_there_is_no_true_theta_exception_raised(changes: list[str]) -> None:
    config = load_experiment("digits-r", ["theta_loss=1.0", *changes])
    with pytest.raises(ConfigError, match="`theta_loss` needs a network that ends in affine"):
        PaperRecipe().prepare(config)


@pytest.mark.slow
def test_a_run_teaches_theta_and_keeps_logits(tmp_path: Path) -> None:
    """What is trained gives theta too; what is kept, measured and exported does not."""
    settings = [
        "theta_loss=1.0", "feed_theta=true", "outside_penalty=0.1", "steps=120", "batch_size=64",
        "warmup_steps=1", "model=st-fcn-affine", "deterministic=false",
    ]  # fmt: skip
    report = train(load_experiment("digits-r", settings), tmp_path / "run", progress=False)
    run = Run(tmp_path / "run")
    model = run.load_model()
    assert model.output_shape == (None, 10)
    assert report.parameters == model.count_params()
    assert report.error_percent is not None
    # Training had more to compare than classes, and it fell.
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    taught = [line["theta_loss"] for line in lines if "theta_loss" in line]
    assert taught[-1] < 0.8 * taught[0]
    images, _ = run.examples("test", 8)
    assert np.asarray(model(images, training=False)).shape == (8, 10)
