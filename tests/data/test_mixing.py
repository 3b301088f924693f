"""Mixup and cutmix, on pairs whose images say where each pixel is from."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from stn_tf.data import keys
from stn_tf.data.augmentation import Augmentation
from stn_tf.data.mixing import Mixing

_KEY = keys.make_key(4, 12)


def _batch(count: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Image i has the value i everywhere, in two channels, and the class i."""
    images = np.broadcast_to(np.arange(count, dtype="f4").reshape(-1, 1, 1, 1), (count, *size, 2))
    return images, np.eye(count, dtype="f4")


def _mixed(mixing: Mixing, count: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = tf.function(mixing, autograph=False)(_KEY, 0, *_batch(count, size))
    return images.numpy(), labels.numpy()


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_blends_by_a_beta_distribution(alpha):
    images, labels = _mixed(Mixing(alpha, 0.0), 1200, (1, 2))
    index = np.arange(0, 1200, 2)
    share = labels[index, index + 1]
    np.testing.assert_array_equal(labels[index + 1, index], share)
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    assert np.count_nonzero(labels) <= 2400
    # What the labels say is in the images, alike everywhere.
    said = np.repeat(labels @ np.arange(1200.0), 4).reshape(images.shape)
    np.testing.assert_allclose(images, said, rtol=1e-6)
    assert stats.kstest(share, stats.beta(alpha, alpha).cdf).pvalue > 0.01


def test_cutmix_exchanges_rectangles():
    size = (12, 20)
    images, labels = _mixed(Mixing(0.0, 1.0), 400, size)
    seen = set()
    for first in range(0, 400, 2):
        pair = images[first : first + 2, :, :, 0]
        other = pair[0] == first + 1
        # Each pixel is from one of the two, and the other has its place.
        np.testing.assert_array_equal(pair[0], np.where(other, first + 1, first))
        np.testing.assert_array_equal(pair[1], np.where(other, first, first + 1))
        rows, columns = other.any(axis=1), other.any(axis=0)
        np.testing.assert_array_equal(other, rows[:, None] & columns)
        for line, sides in ((rows, 0), (columns, 1)):
            assert np.abs(np.diff(np.pad(line.astype(int), 1))).sum() in (0, 2)
            seen |= {(sides, 0, bool(line[0])), (sides, 1, bool(line[-1]))}
        np.testing.assert_allclose(labels[first, first + 1], other.mean(), atol=1e-6)
        np.testing.assert_allclose(labels[first + 1, first], other.mean(), atol=1e-6)
        # Of the image's aspect, but for rounding.
        assert abs(rows.mean() - columns.mean()) <= 0.5 / 12 + 0.5 / 20 + 1e-6
    assert len(seen) == 8
    np.testing.assert_array_equal(images[..., 0], images[..., 1])
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    share = labels[np.arange(0, 400, 2), np.arange(1, 400, 2)]
    assert abs(share.mean() - 0.5) < 0.06


def test_both_with_a_probability():
    images, labels = _mixed(Mixing(1.0, 1.0, 0.6), 1000, (8, 8))
    whole = labels.diagonal()[::2] == 1
    np.testing.assert_array_equal(images[::2][whole], _batch(1000, (8, 8))[0][::2][whole])
    assert abs(whole.mean() - 0.4) < 0.08
    cut = np.array([len(np.unique(image)) == 2 for image in images[::2]])
    assert 0.2 < cut.mean() < 0.4


@pytest.mark.parametrize("mixing", [Mixing(0.4, 0.0), Mixing(0.0, 1.0), Mixing(0.4, 1.0, 0.7)])
def test_slices_of_a_batch_are_what_the_batch_says(rng, mixing):
    images = rng.random((12, 9, 7, 3), np.float32)
    labels = np.eye(5, dtype="f4")[rng.integers(0, 5, 12)]
    whole = mixing(_KEY, 0, images, labels)
    for start, stop in ((0, 4), (4, 8), (8, 12), (2, 12), (6, 8)):
        part = mixing(_KEY, tf.constant(start // 2), images[start:stop], labels[start:stop])
        for values, expected in zip(part, whole, strict=True):
            np.testing.assert_array_equal(values, expected[start:stop])
    again = mixing(keys.make_key(4, 12), 0, images, labels)
    np.testing.assert_array_equal(again[0], whole[0])
    other = mixing(keys.fold(_KEY, 1), 0, images, labels)
    assert np.abs(other[0] - whole[0]).max() > 0.1


def test_in_tf_data(rng):
    images = rng.random((6, 8, 8, 1), np.float32)
    labels = np.eye(6, dtype="f4")
    mixing = Mixing(0.4, 1.0)

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return mixing(keys.fold(_KEY, step), step * 0, images, labels)

    dataset = tf.data.Dataset.range(2).map(batch)
    assert dataset.element_spec == (
        tf.TensorSpec([6, 8, 8, 1], tf.float32),
        tf.TensorSpec([6, 6], tf.float32),
    )
    for step, (seen, targets) in enumerate(dataset):
        expected = batch(tf.constant(step, tf.int64))
        np.testing.assert_allclose(seen, expected[0], atol=1e-6)
        np.testing.assert_allclose(targets, expected[1], atol=1e-6)


def test_tiny_alphas_leave_images_whole():
    for mixing in (Mixing(1e-3, 0.0), Mixing(0.0, 1e-3)):
        images, labels = _mixed(mixing, 200, (4, 4))
        assert np.isfinite(images).all()
        assert np.mean(np.abs(labels.max(axis=1) - 1) < 1e-3) > 0.95


def test_augmentation_says_what_mixes():
    assert Augmentation.of("standard").mixing() is None
    assert Augmentation.of({"mixup": 0.2, "mix_probability": 0.0}).mixing() is None
    assert Augmentation.of({"mixup": 0.3}).mixing() == Mixing(0.3, 0.0)
    assert Augmentation.of("strong").mixing() == Mixing(0.2, 1.0, 0.5)


def test_empty_batch():
    images, labels = Mixing(1.0, 1.0)(_KEY, 0, np.zeros((0, 4, 4, 1), "f4"), np.zeros((0, 3), "f4"))
    assert images.shape == (0, 4, 4, 1)
    assert labels.shape == (0, 3)


def test_exception_raised():
    with pytest.raises(ValueError, match=r"`images` must be of an even number that is known"):
        Mixing(1.0, 0.0)(_KEY, 0, np.zeros((3, 4, 4, 1), "f4"), np.zeros((3, 3), "f4"))
    with pytest.raises(ValueError, match=r"`mixup_alpha` or `cutmix_alpha` must be above 0"):
        Mixing(0.0, 0.0)
    with pytest.raises(ValueError, match=r"`cutmix_alpha` must be at least 0, but it is -1"):
        Mixing(0.0, -1.0)
    with pytest.raises(ValueError, match=r"`probability` must be in 0\.\.1, but it is 1\.5"):
        Mixing(1.0, 0.0, 1.5)
