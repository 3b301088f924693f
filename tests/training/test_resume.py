"""Training that is stopped and goes on ends as if it had not been."""

import json
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import DataError, RunError
from stn_tf.training import Interrupted, fit


class Batches(keras.utils.PyDataset):
    """Digits in an order that its own calls of `on_epoch_end` decide."""

    def __init__(self, digits, **options):
        super().__init__(**options)
        self._digits = digits
        self._shift = 0

    def __len__(self):
        return 5

    def __getitem__(self, index):
        at = (np.arange(16) * 7 + 16 * index + self._shift) % 1500
        return self._digits.x[at], self._digits.y[at]

    def on_epoch_end(self):
        self._shift += 100


def _unsaved(digits):
    """A dataset whose iterator has no state that TensorFlow could save."""
    return (
        digits.dataset()
        .map(lambda x, y: (tf.numpy_function(lambda x: x, [x], tf.float32), y))
        .map(lambda x, y: (tf.ensure_shape(x, [None, 8, 8, 1]), y))
    )


DATA = {
    "steps": lambda digits: digits.by_step(),
    # Of each epoch of 1,500 digits the last batch is smaller.
    "iterator": lambda digits: digits.dataset(batch=400),
    "skip": _unsaved,
    "batches": lambda digits: Batches(digits, workers=3),
}


def _figures(out):
    """What the metrics say, but for speed."""
    speed = ("images_per_second", "input_wait")
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in line.items() if k not in speed} for line in lines]


@pytest.mark.parametrize(
    "kind",
    [
        "steps",
        "iterator",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("skip", "batches")),
    ],
)
def test_resumed_training_ends_the_same_bit_for_bit(
    tmp_path, capsys, digits, network, config, loss, kind
):
    settings = config(
        steps=9,
        evaluate_every=4,
        checkpoint_every=2,
        learning_rate_schedule="constant",
        optimizer="adam",
        ema=0.9,
        accumulate_steps=2 if kind == "skip" else 1,
    )
    arguments = {"loss": loss, "metrics": ["accuracy"]}
    results = {}
    for name, stops in (("whole", (9,)), ("parts", (4, 9))):
        for steps in stops:
            # As a process of its own would make it.
            tf.random.set_seed(5)
            results[name] = fit(
                network,
                DATA[kind](digits),
                digits.validation,
                settings.model_copy(update={"steps": steps}),
                out=tmp_path / name,
                resume=name == "parts",
                **arguments,
            )
    whole, parts = results["whole"], results["parts"]
    for a, b in zip(whole.model.variables, parts.model.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    assert parts.history == whole.history
    assert parts.steps == 9
    assert _figures(tmp_path / "parts") == _figures(tmp_path / "whole")
    said = capsys.readouterr().err
    lines = {
        "steps": "Continuing after step 4.",
        "iterator": "resumes by the state of its iterator, which checkpoints hold.",
        "skip": "resumes by reading again and skipping what was used, because PyFunc is stateful.",
        "batches": "The PyDataset `train` resumes by skipping what was used: exactly, if its batch",
    }
    assert lines[kind] in said
    assert "The schedule of the learning rate is now that of 9 steps instead of 4" in said


def test_a_signal_stops_after_a_checkpoint_and_before_the_evaluation(
    tmp_path, digits, network, config, loss
):
    """The evaluation that was due is made up for, so that the best is the same."""

    class Stopping:
        def __init__(self, at, number):
            self._at, self._number = at, number

        def batches(self, start_step, **options):
            def stop(step):
                if step + start_step + 1 == self._at:
                    os.kill(os.getpid(), self._number)
                return step

            data = digits.by_step().batches(start_step, **options)
            return (
                data.enumerate()
                .map(lambda i, pair: (tf.numpy_function(stop, [i], tf.int64), pair))
                .map(lambda i, pair: pair)
            )

    settings = config(steps=9, evaluate_every=4, checkpoint_every=100)
    arguments = {"loss": loss, "metrics": ["accuracy"], "progress": False}
    whole = fit(
        network, digits.by_step(), digits.validation, settings, out=tmp_path / "a", **arguments
    )
    for resume, number in ((False, signal.SIGTERM), (True, signal.SIGINT)):
        with pytest.raises(Interrupted) as caught:
            fit(
                network,
                # The next batch may be made ahead, and so the step before it be the last.
                Stopping(8 if resume else 4, number),
                digits.validation,
                settings,
                out=tmp_path / "b",
                resume=resume,
                **arguments,
            )
        assert caught.value.signal == number
        stopped = caught.value.step
        assert (tmp_path / "b" / "checkpoints" / f"step-{stopped}").is_dir()
    result = fit(
        network,
        digits.by_step(),
        digits.validation,
        settings,
        out=tmp_path / "b",
        resume=True,
        **arguments,
    )
    assert result.history == whole.history
    assert _figures(tmp_path / "b") == _figures(tmp_path / "a")
    for a, b in zip(whole.model.get_weights(), result.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_finished_training_only_returns_its_result(tmp_path, digits, linear, config, loss):
    arguments = {"loss": loss, "metrics": ["accuracy"], "out": tmp_path, "progress": False}
    first = fit(linear, digits.by_step(), digits.validation, config(), **arguments)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("checkpoints/*/*")}
    again = fit(linear, digits.by_step(), digits.validation, config(), resume=True, **arguments)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (again.history, again.chosen_step) == (first.history, first.chosen_step)
    for a, b in zip(first.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_checkpoints_come_by_time(tmp_path, monkeypatch, digits, linear, config, loss):
    settings = config(steps=4, checkpoint_every=100, checkpoint_minutes=1e-9, keep_checkpoints=9)
    fit(linear, digits.by_step(), None, settings, loss=loss, out=tmp_path, progress=False)
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {
        f"step-{step}" for step in range(1, 5)
    }


def test_resume_of_another_model_changes_nothing(tmp_path, digits, linear, network, config, loss):
    arguments = {"loss": loss, "out": tmp_path, "progress": False}
    fit(linear, digits.by_step(), None, config(), **arguments)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(RunError, match="is of another model: among its weights it has "):
        fit(network, digits.by_step(), None, config(steps=9), resume=True, **arguments)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    fewer = config(steps=9, optimizer="sgd")
    with pytest.raises(RunError, match="is of another kind of training: among its optimizer"):
        fit(linear, digits.by_step(), None, fewer, resume=True, **arguments)


def test_data_that_ends_exception_raised(digits, linear, config, loss):
    class Short:
        def batches(self, start_step, **options):
            return digits.by_step().batches(start_step, **options).take(4)

    with pytest.raises(DataError, match=r"`train` ended after 4 batches, but training needs more"):
        fit(linear, Short(), None, config(), loss=loss, progress=False)
