"""Colours and erasing, against Keras's layers and NumPy in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.data import keys
from stn_tf.data.augmentation import Augmentation

_SIZE = (24, 20)


@pytest.fixture
def images(rng) -> np.ndarray:
    """Squares of 4 pixels, whose colours are far enough from black and white to be changed."""
    coarse = rng.integers(90, 165, (6, 6, 5, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def _apply(images: np.ndarray, **parameters: np.ndarray) -> np.ndarray:
    drawn = {name: tf.constant(values, tf.float32) for name, values in parameters.items()}
    return Augmentation().apply(images, drawn, _SIZE).numpy()


def test_brightness_is_that_of_keras(images):
    delta = np.array([-0.8, -0.3, -0.1, 0.0, 0.2, 0.8])
    layer = keras.layers.RandomBrightness(1.0, value_range=(0, 1))
    expected = layer.transform_images(
        images.astype("f4") / 255, {"rgb_delta": tf.reshape(delta, [6, 1, 1, 1])}
    )
    assert np.ptp(expected) == 1  # It clips.
    np.testing.assert_allclose(_apply(images, brightness=delta), expected, atol=1e-6)


def test_contrast_is_that_of_keras(images, rng):
    factor = rng.uniform(0, 4, 6).astype(np.float32)
    layer = keras.layers.RandomContrast(1.0, value_range=(0, 1))
    expected = layer.transform_images(
        images.astype("f4") / 255, {"contrast_factor": factor.reshape(6, 1, 1, 1)}
    )
    assert np.ptp(expected) == 1
    np.testing.assert_allclose(_apply(images, contrast=factor), expected, atol=2e-6)


def test_saturation_is_that_of_keras(images, rng):
    factor = np.append(rng.uniform(0, 2, 5), 0).astype(np.float32)
    layer = keras.layers.RandomColorDegeneration(1.0, value_range=(0, 1))
    expected = layer.transform_images(
        images.astype("f4") / 255, {"factor": (1 - factor).reshape(6, 1, 1, 1)}
    )
    seen = _apply(images, saturation=factor)
    np.testing.assert_allclose(seen, expected, atol=1e-4)  # Keras's weights have 4 digits.
    np.testing.assert_allclose(seen[5], seen[5, ..., :1].repeat(3, -1), atol=1e-6)


def test_hue_turns_what_is_not_grey(images):
    # The NTSC matrix by its definition: I and Q are U and V, turned by 33 degrees.
    luma = np.array([0.299, 0.587, 0.114])
    turn = np.radians(33)
    axes = np.array([[-np.sin(turn), np.cos(turn)], [np.cos(turn), np.sin(turn)]])

    def chroma(colours: np.ndarray) -> np.ndarray:
        grey = colours @ luma
        blue, red = 0.492 * (colours[..., 2] - grey), 0.877 * (colours[..., 0] - grey)
        i, q = axes @ np.stack([blue.ravel(), red.ravel()])
        return i + 1j * q

    before = images / 255.0
    for angle in (0.0, 0.4, -1.0):
        turned = np.tile([np.cos(angle), np.sin(angle)], (6, 1))
        seen = _apply(images, hue=turned).astype(np.float64)
        assert 0 < seen.min() < seen.max() < 1
        np.testing.assert_allclose(seen @ luma, before @ luma, atol=1e-5)
        ratio = chroma(seen) / chroma(before)
        np.testing.assert_allclose(ratio, np.exp(1j * angle), atol=0.02)
        if not angle:
            np.testing.assert_allclose(seen, before, atol=1e-6)


def test_all_colours_together(images, rng):
    bright, contrast = rng.uniform(-0.05, 0.05, 6), rng.uniform(0.8, 1.2, 6)
    saturation = rng.uniform(0.8, 1.2, 6)
    still = np.tile([1.0, 0.0], (6, 1))
    seen = _apply(images, brightness=bright, contrast=contrast, saturation=saturation, hue=still)
    column = (slice(None), None, None, None)
    pixels = images / 255.0
    mean = pixels.mean(axis=(1, 2), keepdims=True)
    pixels = (pixels - mean) * contrast[column] + mean
    grey = (pixels @ [0.299, 0.587, 0.114])[..., np.newaxis]
    pixels = grey + (pixels - grey) * saturation[column] + bright[column]
    np.testing.assert_allclose(seen, pixels, atol=2e-6)


def test_erase_preset(rng):
    images = rng.integers(0, 256, (2, *_SIZE, 3), dtype=np.uint8)
    # Pixels whose centres lie inside; of the second image none.
    boxes = np.array([[0.2, 0.25, 0.5, 0.74, 0.3], [0, 0, 0, 0, 0.9]])
    seen = _apply(images, erase=boxes)
    expected = images / np.float32(255)
    expected[0, 6:18, 4:10] = 0.3
    np.testing.assert_array_equal(seen, expected)


def test_draw_ranges():
    settings = {
        "base": "none",
        "brightness": 0.3,
        "contrast": 0.4,
        "saturation": 0.5,
        "hue": 0.1,
        "grayscale": 0.25,
        "erase": 0.6,
        "erase_area": (0.1, 0.3),
    }
    drawn = Augmentation.of(settings).draw(keys.make_key(5, 5), 4000)
    drawn = {name: values.numpy() for name, values in drawn.items()}
    assert set(drawn) == {"brightness", "contrast", "saturation", "hue", "erase"}
    assert 0.299 < np.abs(drawn["brightness"]).max() <= 0.3
    assert 0.399 < np.abs(drawn["contrast"] - 1).max() <= 0.4001
    grey = drawn["saturation"] == 0
    assert abs(grey.mean() - 0.25) < 0.03
    assert 0.499 < np.abs(drawn["saturation"][~grey] - 1).max() <= 0.5001
    angles = np.arctan2(drawn["hue"][:, 1], drawn["hue"][:, 0]) / (2 * np.pi)
    assert 0.099 < np.abs(angles).max() <= 0.1001
    left, top, right, bottom, level = drawn["erase"].T
    some = right > left
    assert abs(some.mean() - 0.6) < 0.03
    area = ((right - left) * (bottom - top))[some]
    assert 0.1 * 0.999 < area.min() < 0.11
    assert 0.29 < area.max() < 0.3001
    assert min(left.min(), top.min()) >= 0
    assert max(right.max(), bottom.max()) <= 1.0001
    assert level.min() >= 0
    assert level.max() <= 1
    whole = Augmentation.of({"base": "none", "grayscale": 1.0, "erase": 1.0})
    drawn = whole.draw(keys.make_key(5, 5), 200)
    assert not drawn["saturation"].numpy().any()
    assert (drawn["erase"][:, 2] > drawn["erase"][:, 0]).numpy().all()
