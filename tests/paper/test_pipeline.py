"""Batches: stateless, each example once, the same for any number of replicas."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stn_tf.paper import (
    DISTORTIONS,
    DistortedImages,
    Examples,
    Source,
    evaluation_dataset,
    load_source,
    training_dataset,
)

every_distortion = pytest.mark.parametrize(
    "distortion",
    [
        pytest.param(name, marks=[] if name in ("r", "tc") else [pytest.mark.slow])
        for name in DISTORTIONS
    ],
)


@pytest.fixture(scope="module")
def source() -> Source:
    return load_source("digits")


@pytest.fixture(scope="module")
def examples(source: Source) -> Examples:
    return source.train[:50]


def training(examples: Examples, distortion: str, **options: Any) -> tf.data.Dataset:
    return training_dataset(DistortedImages(examples, distortion), **options)


def evaluation(examples: Examples, distortion: str, **options: Any) -> tf.data.Dataset:
    return evaluation_dataset(DistortedImages(examples, distortion), **options)


def batches(dataset: tf.data.Dataset) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(images.numpy(), labels.numpy()) for images, labels in dataset]


def labels_of(dataset: tf.data.Dataset) -> np.ndarray:
    return np.concatenate([labels for _, labels in batches(dataset)])


def numbered(count: int) -> Examples:
    """Examples whose labels say which one it is."""
    return Examples(np.zeros((count, 4, 4, 1), np.uint8), np.arange(count, dtype=np.int32))


@every_distortion
def test_a_batch_depends_on_seed_and_step_alone(examples: Examples, distortion: str) -> None:
    first = batches(training(examples, distortion, seed=1, batch_size=8, steps=3))
    again = batches(training(examples, distortion, seed=1, batch_size=8, start_step=1, steps=2))
    other = batches(training(examples, distortion, seed=2, batch_size=8, steps=1))
    for (images, labels), (same, same_labels) in zip(first[1:], again, strict=True):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(labels, same_labels)
    assert not np.array_equal(first[0][0], other[0][0])
    assert not np.array_equal(first[0][0], first[1][0])


@pytest.mark.parametrize("distortion", DISTORTIONS[1:])
def test_an_example_is_distorted_anew_each_time(examples: Examples, distortion: str) -> None:
    """One example, eight times: within a batch and from step to step."""
    shown = batches(training(examples[:1], distortion, batch_size=4, seed=1, steps=2))
    images = {image.tobytes() for batch, _ in shown for image in batch}
    assert len(images) == 8


@every_distortion
def test_replicas_share_the_global_batch(examples: Examples, distortion: str) -> None:
    whole = batches(training(examples, distortion, batch_size=12, seed=3, steps=2))
    one_worker = batches(
        training(
            examples, distortion, batch_size=12, seed=3, steps=2, replicas=3, replica_ids=range(3)
        )
    )
    last = batches(
        training(examples, distortion, batch_size=12, seed=3, steps=2, replicas=3, replica_ids=[2])
    )
    for step in range(2):
        parts = one_worker[3 * step : 3 * step + 3]
        # Sines of short slices are not rounded as those of long ones are.
        np.testing.assert_allclose(np.concatenate([p[0] for p in parts]), whole[step][0], atol=1e-5)
        np.testing.assert_array_equal(np.concatenate([p[1] for p in parts]), whole[step][1])
        np.testing.assert_array_equal(last[step][0], parts[2][0])


def test_every_example_once_an_epoch() -> None:
    examples = numbered(23)
    row = np.concatenate(
        [
            labels
            for _, labels in batches(training(examples, "none", batch_size=5, seed=0, steps=23))
        ]
    )
    epochs = row.reshape(5, 23)
    for epoch in epochs:
        assert sorted(epoch) == list(range(23))
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_permutations_of_successive_epochs_are_unrelated() -> None:
    row = np.concatenate(
        [
            lab
            for _, lab in batches(training(numbered(500), "none", batch_size=500, seed=9, steps=2))
        ]
    )
    assert abs(np.corrcoef(row[:500], row[500:])[0, 1]) < 0.15
    assert abs(np.corrcoef(row[:500], np.arange(500))[0, 1]) < 0.15


def test_a_batch_larger_than_the_set() -> None:
    ((_, labels),) = batches(training(numbered(7), "none", batch_size=20, seed=0, steps=1))
    assert np.bincount(labels).min() >= 2


@pytest.mark.parametrize("distortion", DISTORTIONS)
def test_evaluation_shows_each_example_once_in_one_way(examples: Examples, distortion: str) -> None:
    small = batches(evaluation(examples, distortion, batch_size=16, seed=5))
    large = batches(evaluation(examples, distortion, batch_size=64, seed=5))
    assert [len(labels) for _, labels in small] == [16, 16, 16, 2]
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in small]), examples.labels)
    np.testing.assert_array_equal(np.concatenate([images for images, _ in small]), large[0][0])


@pytest.mark.parametrize("distortion", DISTORTIONS[1:])
def test_another_seed_evaluates_other_images(examples: Examples, distortion: str) -> None:
    first, other = (
        batches(evaluation(examples, distortion, batch_size=50, seed=seed))[0][0] for seed in (5, 6)
    )
    assert np.all(np.any(first != other, axis=(1, 2, 3)))


@every_distortion
def test_each_image_comes_with_its_label(distortion: str) -> None:
    """Flat images, whose grey value says which one it is: most of what a canvas shows."""
    labels = np.arange(20, dtype=np.int32)
    images = np.broadcast_to(
        (60 + 9 * labels).astype(np.uint8)[:, None, None, None], (20, 28, 28, 1)
    )
    examples = Examples(np.ascontiguousarray(images), labels)
    options = {"batch_size": 15, "seed": 4}
    for dataset in (
        training(examples, distortion, steps=4, start_step=3, **options),
        training(examples, distortion, steps=4, replicas=3, replica_ids=[2, 0], **options),
        evaluation(examples, distortion, **options),
    ):
        for batch, of in batches(dataset):
            for image, label in zip(batch, of, strict=True):
                shown = np.median(image[image > 0])
                assert shown == pytest.approx((60 + 9 * label) / 255, abs=0.01)


def test_undistorted_images_are_the_images(examples: Examples) -> None:
    ((images, _),) = batches(evaluation(examples, "none", batch_size=50, seed=0))
    np.testing.assert_allclose(images, examples.images / 255.0, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"batch_size": 10, "replicas": 3}, "`batch_size` must be a multiple of `replicas`"),
        ({"batch_size": 8, "replica_ids": [1]}, "`replica_ids` must be numbers from 0 to 0"),
        ({"batch_size": 8, "start_step": -1}, "`start_step` must be at least 0"),
    ],
)
def test_exception_raised(examples: Examples, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        training(examples, "none", seed=0, **options)


def test_no_examples_exception_raised(examples: Examples) -> None:
    with pytest.raises(ValueError, match="`scenes` must not be empty"):
        training(examples[:0], "none", batch_size=1, seed=0)
