"""Losses, gradients and weights that are no numbers."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import RunError
from stn_tf.training import fit
from stn_tf.training.checkpoint import load_weights


class Broken:
    """Digits by step; in some steps one of the images is no numbers."""

    def __init__(self, data, *steps):
        self._data, self._steps = data, steps

    def batches(self, start_step, **options):
        steps = tf.constant(self._steps, tf.int64)

        def broken(step, pair):
            x, y = pair
            bad = tf.reduce_any(steps == step + start_step + 1)
            return tf.where(bad & (tf.range(len(x)) == 3)[:, None, None, None], np.nan, x), y

        return self._data.batches(start_step, **options).enumerate().map(broken)


class Without:
    """Digits by step, as if some steps were not there."""

    def __init__(self, data, *steps):
        self._data, self._steps = data, steps

    def batches(self, start_step, **options):
        steps = tf.constant(self._steps, tf.int64)
        numbered = self._data.batches(start_step, **options).enumerate(start_step + 1)
        return numbered.filter(lambda i, _: ~tf.reduce_any(steps == i)).map(lambda _, pair: pair)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_bad_step_stops_and_is_kept(tmp_path, digits, looking_network, config, loss, accumulate):
    # Step 5: its second batch where two are accumulated.
    data = Broken(digits.by_step(), 5 * accumulate)
    settings = config(
        steps=9, log_every=9, checkpoint_every=4, accumulate_steps=accumulate, warmup_steps=2
    )
    model = looking_network()
    with pytest.raises(RunError) as caught:
        fit(model, data, None, settings, loss=loss, out=tmp_path, progress=False)
    text = str(caught.value)
    assert text.startswith(
        "The loss is nan after step 5, so training has stopped, and nothing of it was saved. The "
        f"last checkpoint is of step 4. Its batch is in `{tmp_path}/nan-step-5.npz`. Theta of "
        "`look` was "
    )
    assert "of its points outside the image. Lower `learning_rate` (0.01) or `localis" in text
    assert text.endswith("or leave such steps out with on_nan=skip.")
    with np.load(tmp_path / "nan-step-5.npz") as kept:
        suffixes = [""] if accumulate == 1 else ["", "_1"]
        names = {f"{name}{suffix}" for name in ("x", "y", "theta_1") for suffix in suffixes}
        assert set(kept.files) == names
        x, y = digits.numpy_batch(5 * accumulate - 1)
        last = suffixes[-1]
        assert np.isnan(kept[f"x{last}"][3]).all()
        others = np.arange(len(x)) != 3
        np.testing.assert_array_equal(kept[f"x{last}"][others], x[others])
        np.testing.assert_array_equal(kept[f"y{last}"], y)
        assert kept[f"theta_1{last}"].shape == (len(x), 2, 3)
    # The model has the weights of step 4, in everything; so has the checkpoint.
    saved = looking_network()
    assert load_weights(tmp_path / "checkpoints", saved) == 4
    for one, other in zip(model.get_weights(), saved.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


@pytest.mark.parametrize("precision", ["none", "float16"])
def test_skipped_steps_never_happened(tmp_path, capsys, digits, network, config, loss, precision):
    """Bit for bit as if their batches were not there."""
    settings = config(
        steps=8,
        on_nan="skip",
        ema=0.5,
        learning_rate_schedule="constant",
        optimizer="adam",
        weight_decay=0.1,
        mixed_precision=precision,
        evaluate_every=100,
    )
    broken = Broken(digits.by_step(), 3, 4, 7)
    result = fit(network, broken, None, settings, loss=loss, out=tmp_path)
    assert result.skipped_steps == 3
    said = capsys.readouterr().err
    assert "The loss is nan in step 3, which is left out (`on_nan`). Its batch is in `" in said
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line.get("skipped_steps") for line in lines] == [None, None, 1, 2, 2, 2, 3, 3]
    assert ["loss" in line for line in lines] == [s not in (3, 4, 7) for s in range(1, 9)]
    fewer = settings.model_copy(update={"steps": 5})
    without = Without(digits.by_step(), 3, 4, 7)
    expected = fit(network, without, None, fewer, loss=loss, progress=False)
    for a, b in zip(result.model.variables, expected.model.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


@pytest.mark.slow
def test_too_many_skipped_steps_in_a_row_stop(tmp_path, digits, linear, config, loss):
    data = Broken(digits.by_step(), 2, *range(4, 60))
    settings = config(steps=50, on_nan="skip", log_every=25, checkpoint_every=10)
    arguments = {"loss": loss, "out": tmp_path, "progress": False}
    with pytest.raises(RunError, match=r"after step 23, as in 20 steps in a row, so training"):
        fit(linear, data, None, settings, **arguments)
    assert len(list(tmp_path.glob("nan-step-*.npz"))) == 4
    # The count goes on where it was, from the checkpoint of step 20.
    with pytest.raises(RunError, match=r"after step 23, as in 20 steps in a row, so training"):
        fit(linear, data, None, settings, resume=True, **arguments)


@pytest.mark.parametrize("on_nan", ["stop", "skip"])
def test_an_update_that_destroys_weights_is_never_saved(
    tmp_path, digits, linear, config, loss, on_nan
):
    settings = config(optimizer="sgd", learning_rate=1e30, on_nan=on_nan, checkpoint_every=1)
    with pytest.raises(RunError, match=r"^Weights are no numbers after step 1, so training has st"):
        fit(linear, digits.by_step(), None, settings, loss=loss, out=tmp_path, progress=False)
    assert not (tmp_path / "checkpoints").exists()


def test_gradients_alone_may_be_no_numbers(digits, config):
    @tf.custom_gradient
    def steep(x):
        return x, lambda upstream: upstream * np.inf

    class Steep(keras.layers.Layer):
        def call(self, x):
            return steep(x)

    def make():
        layers = [keras.layers.Flatten(), keras.layers.Dense(10), Steep()]
        return keras.Sequential([keras.Input((8, 8, 1)), *layers])

    for precision in ("none", "float16"):
        with pytest.raises(RunError, match=r"^The gradients are no numbers after step \d+, so tr"):
            fit(
                make,
                digits.by_step(),
                None,
                config(steps=40, mixed_precision=precision),
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                progress=False,
            )
