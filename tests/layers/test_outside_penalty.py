"""A loss where grids leave the image, and nowhere else."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.geometry import TRANSFORMS, get_transform
from stn_tf.layers import OutsidePenalty

CROPS = tf.reshape(tf.range(24.0), [2, 3, 4, 1])


def reference(theta: np.ndarray, weight: float) -> float:
    """Affine thetas `[N, 2, 3]`, in float64: the mean over 8 x 8 points and both coordinates."""
    centres = (2 * np.arange(8) + 1) / 8 - 1
    x, y = np.meshgrid(centres, centres)
    points = np.stack([x.ravel(), y.ravel(), np.ones(64)])
    beyond = np.maximum(np.abs(theta.astype(np.float64) @ points) - 1, 0)
    return float(weight * np.mean(beyond**2))


def test_affine_reference(rng: np.random.Generator) -> None:
    theta = rng.normal(size=(2, 2, 3)).astype(np.float32)
    layer = OutsidePenalty("affine", 0.3)
    np.testing.assert_array_equal(layer([CROPS, theta], training=True), CROPS)
    (loss,) = layer.losses
    assert float(loss) == pytest.approx(reference(theta, 0.3), rel=1e-5)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_identity_costs_nothing(name: str) -> None:
    theta = tf.cast(get_transform(name).identity(), tf.float32)[tf.newaxis]
    layer = OutsidePenalty(name, 1.0)
    layer([CROPS[:1], theta], training=True)
    assert float(layer.losses[0]) < 1e-10


def test_it_pulls_a_grid_back() -> None:
    """Descending on it alone brings a theta that looks beside the image back into it."""
    theta = tf.Variable([[[1.0, 0.0, 1.5], [0.0, 1.0, 0.0]]])
    layer = OutsidePenalty("affine", 1.0)
    for _ in range(200):
        with tf.GradientTape() as tape:
            layer([CROPS[:1], theta], training=True)
            loss = layer.losses[0]
        theta.assign_sub(0.5 * tape.gradient(loss, theta))
    assert reference(theta.numpy(), 1.0) < 1e-3


def test_inference_adds_no_loss() -> None:
    layer = OutsidePenalty("affine", 1.0)
    layer([CROPS, tf.fill([2, 2, 3], 5.0)], training=False)
    assert layer.losses == []


def test_several_crops_an_image() -> None:
    theta = tf.random.stateless_normal([2, 3, 2, 3], [1, 2])
    layer = OutsidePenalty("affine", 1.0)
    layer([tf.zeros([2, 3, 4, 4, 1]), theta], training=True)
    flat = theta.numpy().reshape(6, 2, 3)
    assert float(layer.losses[0]) == pytest.approx(reference(flat, 1.0), rel=1e-5)


def test_saved_in_a_model(tmp_path: Path) -> None:
    crops, theta = keras.Input((3, 4, 1)), keras.Input((2, 3))
    model = keras.Model([crops, theta], OutsidePenalty("affine", 0.25)([crops, theta]))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[-1].weight == 0.25


@pytest.mark.parametrize("weight", [-0.1, float("nan")])
def test_weight_exception_raised(weight: float) -> None:
    with pytest.raises(ValueError, match="`weight` must be at least 0"):
        OutsidePenalty("affine", weight)
