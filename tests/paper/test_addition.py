"""The sum of two digits: what is shown, what is asked, and what the networks cost."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from stn_tf.data import keys
from stn_tf.errors import ConfigError
from stn_tf.experiments import Run, load_experiment, train
from stn_tf.paper import (
    ADDITION_NETWORKS,
    DistortedImages,
    Pairs,
    build_addition_network,
    load_source,
)
from stn_tf.paper.addition import AdditionRecipe


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return Pairs(load_source("digits").train, "rts")


def test_each_channel_is_a_digit_by_itself(pairs: Pairs) -> None:
    """Held against distorting the two digits one by one."""
    examples = load_source("digits").train
    parameters = pairs.draw(keys.make_key(1, 2), 16)
    indices = tf.range(100, 116, dtype=tf.int64)
    images, sums = pairs.make(parameters, indices)
    assert images.shape == (16, 42, 42, 2)
    single = DistortedImages(examples, "rts")
    others = parameters["second"].numpy()
    for channel, (name, which) in enumerate((("first", indices.numpy()), ("second", others))):
        own = {k.split(".")[1]: v for k, v in parameters.items() if k.startswith(f"{name}.")}
        alone, labels = single.make(own, tf.constant(which, tf.int64))
        np.testing.assert_array_equal(images[..., channel], alone[..., 0])
        np.testing.assert_array_equal(labels, examples.labels[which])
    np.testing.assert_array_equal(sums, examples.labels[100:116] + examples.labels[others])
    # Each has a place and a turn of its own.
    assert not np.allclose(parameters["first.angle"], parameters["second.angle"])
    assert len(set(others.tolist())) > 8


def test_training_begins_without_the_distortion() -> None:
    source = load_source("digits")
    config = load_experiment("digits-addition", ["curriculum=0.25", "steps=400", "batch_size=16"])
    prepared = AdditionRecipe().prepare(config)
    assert any("over 100 steps" in note and "curriculum=0" in note for note in prepared.notes)
    whole = AdditionRecipe().prepare(
        load_experiment("digits-addition", ["curriculum=0", "batch_size=16"])
    )

    def batch(prepared: Any, step: int) -> np.ndarray:
        return next(iter(prepared.train.batches(step)))[0].numpy()

    # The first batch: each digit upright in the middle of its canvas.
    images = batch(prepared, 0)
    known = {image.tobytes() for image in source.train.images}
    for digit in np.moveaxis(images, -1, 1).reshape(-1, 42, 42):
        pixels = np.round(digit[7:35, 7:35, np.newaxis] * 255).astype(np.uint8)
        assert pixels.tobytes() in known
    # The hundredth, and all after it, is what the data is without.
    for step in (100, 250):
        np.testing.assert_array_equal(batch(prepared, step), batch(whole, step))
    assert np.abs(batch(prepared, 50) - batch(whole, 50)).max() > 0.5
    # What is measured never becomes easier.
    for name in ("validation", "test"):
        (eased, _), (full, _) = (next(iter(p.parts(name))) for p in (prepared, whole))
        np.testing.assert_array_equal(eased, full)


def test_a_curriculum_of_parameters_is_in_proportion(pairs: Pairs) -> None:
    drawn = pairs.draw(keys.make_key(1, 2), 8)
    weaker = pairs.weakened(drawn, tf.constant(0.25))
    for name in ("first", "second"):
        for key, still in (("angle", 0), ("scale", 1), ("shift", 0)):
            expected = still + (drawn[f"{name}.{key}"].numpy() - still) * 0.25
            np.testing.assert_allclose(weaker[f"{name}.{key}"], expected, rtol=1e-5)
    np.testing.assert_array_equal(weaker["second"], drawn["second"])


def test_a_distortion_that_cannot_begin_with_nothing_exception_raised() -> None:
    config = load_experiment("digits-addition", ["curriculum=0.5", "distortion=tc"])
    with pytest.raises(ConfigError, match="none of it, r or rts, but `distortion` is 'tc'"):
        AdditionRecipe().prepare(config)
    scenes = Pairs(load_source("digits").train, "tc")
    with pytest.raises(ValueError, match="`distortion` must be r or rts to be weakened"):
        scenes.weakened(scenes.draw(keys.make_key(1, 2), 2), tf.constant(0.5))


@pytest.mark.parametrize("name", ADDITION_NETWORKS)
def test_all_networks_have_the_same_size(name: str) -> None:
    model = build_addition_network(name, (42, 42, 2), crop_size=(28, 28))
    assert model.output_shape == (None, 19)
    assert abs(model.count_params() / 800_000 - 1) < 0.025


def test_two_transformers_look_with_two_thetas() -> None:
    from stn_tf.layers import spatial_transformers

    model = build_addition_network("2xst-fcn-affine", (42, 42, 2), crop_size=(28, 28))
    first, second = spatial_transformers(model)
    assert first is not second
    assert model.get_layer("crops").output.shape == (None, 28, 28, 4)


def test_wrong_network_exception_raised() -> None:
    config: Any = load_experiment("digits-addition", ["model=st-cnn-affine"])
    with pytest.raises(ConfigError, match="Did you mean `st-fcn-affine`"):
        AdditionRecipe().prepare(config)


def test_a_run_can_be_trained_and_seen(tmp_path: Path) -> None:
    settings = ["steps=3", "batch_size=16", "warmup_steps=1", "deterministic=false"]
    report = train(load_experiment("digits-addition", settings), tmp_path / "run", progress=False)
    assert report.error_percent is not None
    run = Run(tmp_path / "run")
    assert run.classes == tuple(str(number) for number in range(19))
    assert (tmp_path / "run" / "report.html").exists()
