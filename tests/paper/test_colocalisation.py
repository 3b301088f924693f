"""Co-localisation: what is hidden where, what is compared, and how it is measured."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.data import keys
from stn_tf.errors import ConfigError, DataError
from stn_tf.experiments import Run, load_experiment, train
from stn_tf.paper import Examples, HiddenDigits, load_source
from stn_tf.paper.colocalisation import ColocalisationRecipe
from stn_tf.paper.colocalisation_networks import build_colocalisation_network
from stn_tf.paper.colocalisation_objective import BoxIoU, TripletLoss, intersection_over_union
from stn_tf.paper.colocalisation_scenes import Windows
from stn_tf.sampling import warp

SIDE = 84


@pytest.fixture(scope="module")
def fives() -> Examples:
    found = load_source("digits").train
    return found[np.flatnonzero(found.labels == 5)[:20]]


@pytest.mark.parametrize("distractors", [0, 16])
def test_a_digit_lies_where_the_label_says(fives: Examples, distractors: int) -> None:
    scenes = HiddenDigits(fives, side=SIDE, distractors=distractors)
    parameters = scenes.draw(keys.make_key(1, 2), len(fives))
    images, labels = scenes.make(parameters, tf.range(len(fives), dtype=tf.int64))
    assert images.shape == (20, SIDE, SIDE, 1)
    digits = fives.images / np.float32(255)
    # The window of the true theta shows the digit, pixel by pixel.
    window = warp(images, labels["theta"], (28, 28), transform="attention").numpy()
    if distractors:
        assert np.all(window >= digits - 1e-5)
        assert images.numpy().sum() > 1.2 * digits.sum()
    else:
        np.testing.assert_allclose(window, digits, atol=1e-5)
        np.testing.assert_allclose(images.numpy().sum(), digits.sum(), rtol=1e-6)
    for image, crop, (row, column) in zip(
        images.numpy(), labels["crops"].numpy(), parameters["corner"].numpy(), strict=True
    ):
        np.testing.assert_array_equal(crop, image[row : row + 28, column : column + 28])
    assert np.ptp(labels["theta"][:, 1:], axis=0).min() > 0.8
    again, _ = HiddenDigits(fives, side=SIDE, distractors=distractors).make(
        scenes.draw(keys.make_key(3, 2), 1), tf.constant([7], tf.int64)
    )
    np.testing.assert_array_equal(again[0], images[7])


def test_windows_show_most_of_the_digit(fives: Examples) -> None:
    scenes = Windows(fives, side=SIDE, distractors=0, scales=(1 / 3, 0.85))
    parameters = scenes.draw(keys.make_key(1, 2), len(fives))
    crops, labels = scenes.make(parameters, tf.range(len(fives), dtype=tf.int64))
    np.testing.assert_array_equal(labels, fives.labels)
    scale = parameters["scale"].numpy()[:, 0]
    assert 1 / 3 - 1e-6 <= scale.min() < 0.4
    assert 0.7 < scale.max() <= 0.85 + 1e-6
    # The ink of a window shrinks with its area.
    ink = crops.numpy().sum((1, 2, 3)) * (scale * 3) ** 2
    shown = ink / (fives.images / 255.0).sum((1, 2, 3))
    assert shown.min() > 0.6
    np.testing.assert_allclose(np.median(shown), 1.0, atol=0.05)


def boxes(count: int, rng: np.random.Generator) -> np.ndarray:
    scale = rng.uniform(0.1, 0.6, (count, 1))
    return np.concatenate([scale, rng.uniform(-0.5, 0.5, (count, 2))], 1).astype(np.float32)


def test_overlap_is_that_of_painted_boxes(rng: np.random.Generator) -> None:
    first, second = boxes(30, rng), boxes(30, rng)
    second[0] = first[0]
    middles = (np.arange(2000) + 0.5) / 1000 - 1.0
    expected = []
    for pair in zip(first, second, strict=True):
        inside = [
            (np.abs(middles - y) <= scale)[:, None] & (np.abs(middles - x) <= scale)
            for scale, x, y in pair
        ]
        expected.append((inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum())
    found = intersection_over_union(tf.constant(first), tf.constant(second)).numpy()
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert found[0] == pytest.approx(1.0)
    share = BoxIoU(0.5, name="found_percent")
    share.update_state(first[:15], second[:15])
    share.update_state(first[15:], second[15:])
    assert float(share.result()) == pytest.approx(100 * np.mean(np.array(found) > 0.5))


def test_the_loss_is_the_papers_over_all_pairs(rng: np.random.Generator) -> None:
    pixels = keras.Input((4, 4, 1))
    encoder = keras.Model(pixels, [pixels, pixels / 2.0, pixels / 3.0])
    examples = rng.random((50, 4, 4, 1), np.float32)
    loss = TripletLoss(encoder, examples)
    windows, pieces = rng.random((2, 6, 4, 4, 1), np.float32)

    def seen(images: np.ndarray) -> np.ndarray:
        flat = images.reshape(len(images), -1).astype(np.float64)
        typical = (examples.reshape(50, -1).astype(np.float64) ** 2).sum(1).mean()
        parts = []
        # The same direction whatever the factor.
        for faint, weight in ((0.01, 0.1), (0.01, 0.1), (1.0, 0.8)):
            length = np.sqrt((flat**2).sum(1, keepdims=True) + faint * typical)
            parts.append(flat / length * np.sqrt((1 + faint) * weight))
        return np.concatenate(parts, 1)

    e, random = seen(windows), seen(pieces)
    hinges = [
        max(0.0, ((e[n] - e[m]) ** 2).sum() - ((e[n] - random[n]) ** 2).sum() + 1.0)
        for n in range(6)
        for m in range(6)
        if m != n
    ]
    assert float(loss(pieces, windows)) == pytest.approx(np.mean(hinges), rel=1e-4)


def test_an_untrained_window_is_in_the_middle_and_large() -> None:
    model = build_colocalisation_network(SIDE, (28, 28), scales=(0.3333, 0.85), outside_penalty=0.4)
    outputs = model(np.random.default_rng(0).random((3, SIDE, SIDE, 1), np.float32))
    assert outputs["crops"].shape == (3, 28, 28, 1)
    np.testing.assert_allclose(outputs["theta"], [[0.79833, 0.0, 0.0]] * 3, atol=1e-4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colocalisation") / "run"
    changes = ["steps=4", "images=20", "batch_size=20", "encoder_steps=4", "evaluate_every=4"]
    settings: Any = load_experiment("digits-colocalisation-tc", [*changes, "warmup_steps=1"])
    train(settings, folder, progress=False)
    return folder


def test_a_run_reports(run: Path) -> None:
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert report["error_percent"] is None
    assert 0.0 <= report["test"]["theta_found_percent"] <= 100.0
    assert 0.0 < report["test"]["theta_iou"] < 1.0
    assert any("taught digits for 4 steps (encoder_steps=...)" in note for note in report["notes"])
    assert "data:image/png" in (run / "report.html").read_text(encoding="utf-8")


def test_nothing_is_trained_to_look_at_the_data(run: Path, monkeypatch: Any) -> None:
    """Only the loss needs the encoder, and it learns when that is first asked for."""
    from stn_tf.paper import colocalisation_networks

    def learns(*args: Any, **options: Any) -> None:
        raise AssertionError("the encoder was trained")

    monkeypatch.setattr(colocalisation_networks, "trained_encoder", learns)
    images, _ = next(iter(Run(run).dataset("test")))
    assert images.shape == (20, SIDE, SIDE, 1)
    with pytest.raises(AssertionError, match="the encoder was trained"):
        _ = Run(run).prepared.loss


@pytest.mark.slow
def test_a_run_exports(run: Path, tmp_path: Path) -> None:
    import onnxruntime

    from stn_tf.export import export_run

    version = export_run(run, tmp_path).version_dir
    images, _ = next(iter(Run(run).dataset("test")))
    expected = Run(run).load_model()(images)
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    found = signature(images)
    session = onnxruntime.InferenceSession(
        str(version / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    computed = session.run(["crops", "theta"], {"images": images.numpy()})
    for name, values in zip(("crops", "theta"), computed, strict=True):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
        np.testing.assert_allclose(values, expected[name], atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (["images=2000"], DataError, "`images` must be at most 128, as many as digits has of the"),
        (["digit=10"], ConfigError, "`digit` must be less than or equal to 9, but it is 10"),
        (["least_scale=0.9"], ConfigError, "`largest_scale` must be above the least, 0.9 .*0.85"),
        (["largest_scale=0.3"], ConfigError, r"`largest_scale` must be above the least, 0\.333"),
        (["side=30"], ConfigError, "`side` must be greater than or equal to 37, but it is 30"),
        (["model=cnn"], ConfigError, "`model` must be one of st-attention, but it is .cnn"),
    ],
)
def test_exception_raised(changes: list[str], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ColocalisationRecipe().prepare(load_experiment("digits-colocalisation-t", changes))
