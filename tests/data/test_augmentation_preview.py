"""What is drawn of a part, on real photographs."""

import numpy as np
import pytest

from stn_tf.data import load_collection, read_image
from stn_tf.data.augmentation import Augmentation
from stn_tf.data.augmentation_preview import preview
from stn_tf.data.collection import Collection
from stn_tf.interface import InputSpec

_SPEC = InputSpec(
    name="images",
    dtype="float32",
    shape=(None, 32, 40, 3),
    layout="NHWC",
    color_space="rgb",
    value_range=(0.0, 1.0),
)


@pytest.fixture(scope="module")
def birds(cub_dir) -> Collection:
    return load_collection(cub_dir)


def test_originals_are_what_a_server_sees(birds):
    shown = preview(birds.train, _SPEC, Augmentation.of("none"), images=12, versions=2)
    assert shown.originals.shape == (12, 32, 40, 3)
    assert shown.versions.shape == (12, 2, 32, 40, 3)
    # All ten classes before one of them twice.
    assert sorted(set(shown.labels)) == list(range(10))
    assert (np.diff(shown.labels) >= 0).all()
    assert len(set(shown.names)) == 12
    position = {name: index for index, name in enumerate(birds.train.names)}
    for name, label, original, versions in zip(
        shown.names, shown.labels, shown.originals, shown.versions, strict=True
    ):
        index = position[name]
        assert birds.train.labels[index] == label
        expected = read_image(birds.train.open(index), (32, 40), 3)
        np.testing.assert_array_equal(original, expected)
        for version in versions:
            np.testing.assert_array_equal(version, expected.astype("f4") / 255)


def test_versions_differ_and_come_again(birds):
    strong = Augmentation.of("strong")
    shown = preview(birds.train, _SPEC, strong, images=4, versions=3, seed=5)
    again = preview(birds.train, _SPEC, strong, images=4, versions=3, seed=5)
    np.testing.assert_array_equal(shown.versions, again.versions)
    for row in shown.versions:
        assert np.abs(row[0] - row[1]).mean() > 0.02
        assert np.abs(row[1] - row[2]).mean() > 0.02
    other = preview(birds.train, _SPEC, strong, images=4, versions=3, seed=6)
    assert other.names != shown.names


def test_neighbouring_rows_are_mixed(birds):
    mixed = Augmentation.of({"base": "none", "mixup": 1.0})
    shown = preview(birds.train, _SPEC, mixed, images=3, versions=2)
    originals = shown.originals / 255.0
    sums = shown.versions[0] + shown.versions[1]
    np.testing.assert_allclose(sums, np.stack([originals[:2].sum(axis=0)] * 2), atol=1e-5)
    assert np.abs(shown.versions[0, 0] - originals[0]).max() > 0.01
    np.testing.assert_allclose(shown.versions[2], np.stack([originals[2]] * 2), atol=1e-6)


def test_exception_raised(birds):
    with pytest.raises(ValueError, match="must be at least 1"):
        preview(birds.train, _SPEC, Augmentation(), images=0)


def test_oversample():
    for settings in ("none", {"base": "none", "flip": "both", "hue": 0.1, "cutmix": 1.0}):
        assert Augmentation.of(settings).oversample == 1.0
    for settings in ("standard", {"base": "none", "rotate": 5}):
        assert Augmentation.of(settings).oversample == 1.15
