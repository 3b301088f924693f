"""The embedded digits, against scikit-learn's."""

import numpy as np
import scipy.spatial
from sklearn.datasets import load_digits

from stn_tf.paper import load_source


def test_digits_are_split_once_and_for_all() -> None:
    source = load_source("digits")
    parts = (source.train, source.validation, source.test)
    assert sum(map(len, parts)) == 1797
    for part, share in zip(parts, (0.7, 0.1, 0.2), strict=True):
        counts = np.bincount(part.labels)
        np.testing.assert_allclose(counts / np.bincount(load_digits().target), share, atol=0.01)
    images = [{image.tobytes() for image in part.images} for part in parts]
    assert not images[0] & images[1]
    assert not images[0] & images[2]
    assert not images[1] & images[2]


def test_digits_keep_their_cells_and_labels() -> None:
    """Averaging 2.5 x 2.5 of the pixels gives back the cells of a digit with the same label."""
    average = np.zeros((8, 28))
    for cell in range(8):
        for pixel in range(28):
            low, high = 4 + 2.5 * cell, 4 + 2.5 * (cell + 1)
            average[cell, pixel] = max(0.0, min(high, pixel + 1) - max(low, pixel)) / 2.5
    original = load_digits()
    cells = original.images.reshape(-1, 64) / 16
    source, found = load_source("digits"), []
    for part in (source.train, source.validation, source.test):
        shown = (average @ (part.images[..., 0] / 255.0) @ average.T).reshape(-1, 64)
        distances = scipy.spatial.distance.cdist(shown, cells) / 8
        nearest = distances.argmin(axis=1)
        assert distances.min(axis=1).max() < 0.1
        np.testing.assert_array_equal(part.labels, original.target[nearest])
        found.append(nearest)
    # Two digits of one writer can be nearer to each other than the filter is exact.
    assert len(np.unique(np.concatenate(found))) >= 1795
