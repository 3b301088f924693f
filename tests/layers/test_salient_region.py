"""The window in which feature maps are strong, against NumPy, and where it cannot be told."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.layers import SalientRegion


def expected(features: np.ndarray, reach: float) -> np.ndarray:
    """The layer's text, image by image and cell by cell, in float64."""
    rows = []
    for maps in np.asarray(features, np.float64):
        strength = np.abs(maps).sum(axis=-1)
        height, width = strength.shape
        above = np.maximum(strength - strength.mean() - 1e-5 * strength.max(), 0)
        if not above.any():
            rows.append((0.0, 0.0, 1.0))
            continue
        share = above / above.sum()
        places = [
            (share[i, j], (2 * j + 1) / width - 1, (2 * i + 1) / height - 1)
            for i in range(height)
            for j in range(width)
        ]
        centre = np.array([sum(p * x for p, x, _ in places), sum(p * y for p, _, y in places)])
        variance = sum(p * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 2 for p, x, y in places)
        half = min(1.0, reach * max(variance, 1e-6) ** 0.5)
        rows.append((*np.clip(centre, half - 1, 1 - half), half))
    return np.array(rows)


@pytest.mark.parametrize("reach", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("size", [(7, 7), (8, 5), (1, 6), (1, 1)])
def test_the_moments_are_those_of_numpy(
    size: tuple[int, int], reach: float, rng: np.random.Generator
) -> None:
    features = (rng.gamma(0.3, size=(5, *size, 9)) - 0.2).astype(np.float32)
    layer = SalientRegion(reach)
    region = layer(features)
    assert region.dtype == tf.float32
    np.testing.assert_allclose(region, expected(features, reach), atol=2e-6)
    signature = tf.TensorSpec([None, None, None, 9])
    traced = tf.function(layer.__call__, input_signature=[signature], autograph=False)
    np.testing.assert_allclose(traced(features), region, atol=1e-6)


def test_an_object_is_in_the_window() -> None:
    features = np.full((1, 28, 28, 4), 0.2, np.float32)
    features[0, 4:12, 16:24] += 1.0
    x, y, half = SalientRegion()(features).numpy()[0]
    assert (x, y) == pytest.approx((20 / 14 - 1, 8 / 14 - 1), abs=1e-5)
    assert 8 / 28 <= half <= 1.3 * 8 / 28


def test_even_features_give_the_whole_image(rng: np.random.Generator) -> None:
    for value in (0.0, 0.1, 1.7e4, -3.3):
        region = SalientRegion()(tf.fill([2, 7, 9, 1280], value))
        np.testing.assert_array_equal(region, [[0, 0, 1]] * 2)


def test_a_single_cell_is_a_small_window_and_has_gradients() -> None:
    features = tf.Variable(tf.one_hot([9], 64)[..., None])
    with tf.GradientTape() as tape:
        region = SalientRegion()(tf.reshape(features, [1, 8, 8, 1]))
        total = tf.reduce_sum(region)
    assert 0 < region[0, 2] < 0.01
    assert np.all(np.isfinite(tape.gradient(total, features)))


def test_half_precision_computes_in_single(rng: np.random.Generator) -> None:
    features = rng.gamma(0.3, size=(3, 8, 8, 1280)).astype(np.float32)
    layer = SalientRegion(dtype="mixed_float16")
    region = layer(features)
    assert region.dtype == tf.float32
    np.testing.assert_allclose(region, expected(features.astype(np.float16), 2.0), atol=1e-5)


def test_it_is_saved_with_a_model(tmp_path: Path, rng: np.random.Generator) -> None:
    images = keras.Input((9, 8, 3))
    model = keras.Model(images, SalientRegion(1.5)(images))
    assert model.output_shape == (None, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    pixels = rng.uniform(size=(2, 9, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(pixels), model(pixels))
    np.testing.assert_allclose(loaded(pixels), expected(pixels, 1.5), atol=1e-6)


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"`reach` must be above 0, but it is 0\."):
        SalientRegion(0)
    with pytest.raises(ValueError, match=r"Features must be \[N, h, w, F\]"):
        SalientRegion()(np.zeros((2, 8), np.float32))
