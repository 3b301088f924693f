import contextlib
import os
import resource
import tarfile
import tomllib

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import RunError
from stn_tf.paper import build_network
from stn_tf.training import FitConfig
from stn_tf.training.checkpoint import Checkpoints, checkpoint_steps, load_weights, read_weights
from stn_tf.training.optimizers import Updater

ONE = tf.distribute.get_strategy()


class Training:
    """A small model, an optimizer with all kinds of state, and their checkpoints."""

    def __init__(self, folder, *, units=20, ema=0.5, keep=3, writes=True):
        layers = [keras.layers.Dense(units, name="code"), keras.layers.BatchNormalization()]
        self.model = keras.Sequential([keras.Input((50,)), *layers, keras.layers.Dropout(0.5)])
        learning = self.model.trainable_variables
        self.updater = Updater(FitConfig(ema=ema), learning, [1.0] * len(learning))
        places = [i for i, v in enumerate(self.model.weights) if v.trainable]
        self.groups = {
            "weights": self.model.weights,
            "average": dict(zip(places, self.updater.averages, strict=bool(ema))),
            "optimizer": self.updater.variables,
            "random": [v for v in self.model.variables if v.dtype == "uint32"],
        }
        self.checkpoints = Checkpoints(folder, self.model, self.groups, keep=keep, writes=writes)

    def save(self, step, **state):
        for key, value in {"step": step, **state}.items():
            setattr(self.checkpoints.state, key, value)
        self.checkpoints.save()

    def change(self):
        learning = self.model.trainable_variables
        gradients = [tf.ones_like(v.value) for v in learning]
        self.updater.apply(list(zip(gradients, learning, strict=True)), tf.constant(1.0), ONE)
        self.model(tf.ones((3, 50)), training=True)

    @property
    def values(self):
        groups = [*self.groups.values()]
        return [
            v.numpy()
            for group in groups
            for v in (group.values() if isinstance(group, dict) else group)
        ]


def _equal(one, other):
    return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


@contextlib.contextmanager
def _largest_file(size):
    """Files cannot grow beyond a size; Python ignores the signal, so that writing fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_everything_comes_back(tmp_path):
    training = Training(tmp_path)
    training.change()
    history = [{"step": 3, "loss": 0.5, "accuracy": float("nan")}]
    training.save(3, history=history, best_step=3, best_value=0.5, seconds=1.5, skipped=2)
    other = Training(tmp_path)
    assert not any(_equal(other.values, training.values)[:1])
    assert other.checkpoints.restore()
    assert all(_equal(other.values, training.values))
    state = other.checkpoints.state
    assert (state.step, state.best_step, state.seconds, state.skipped) == (3, 3, 1.5, 2)
    assert state.history[0]["step"] == 3
    assert np.isnan(state.history[0]["accuracy"])
    assert other.checkpoints.saved == 3
    # A folder that was moved can be read; others may read it as TensorFlow's.
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert load_weights(moved, Training(moved).model) == 3
    assert tf.train.list_variables(str(moved / "step-3" / "variables"))


def test_the_finished_model_has_the_averages(tmp_path):
    training = Training(tmp_path)
    training.change()
    training.save(1)
    model = Training(tmp_path).model
    load_weights(tmp_path, model)
    averages = [average.numpy() for average in training.updater.averages]
    assert not any(_equal(averages[:1], training.model.get_weights()[:1]))
    learning = [variable.numpy() for variable in model.trainable_variables]
    assert all(_equal(learning, averages))
    # Statistics have no averages.
    assert all(_equal(model.get_weights()[-2:], training.model.get_weights()[-2:]))


def test_the_last_few_and_the_best_are_kept(tmp_path):
    training = Training(tmp_path, keep=2)
    assert not training.checkpoints.restore()
    kernels = {}
    for step, best in ((1, 1), (2, 2), (3, 2), (4, 2), (5, 2)):
        training.change()
        training.save(step, best_step=best)
        kernels[step] = training.updater.averages[0].numpy()
    assert checkpoint_steps(tmp_path) == [2, 4, 5]
    model = Training(tmp_path).model
    for which, choose, step in (
        ("best", "best", 2),
        ("last", "best", 5),
        ("chosen", "best", 2),
        ("chosen", "last", 5),
    ):
        training.save(5, choose=choose)
        assert load_weights(tmp_path, model, which) == step
        np.testing.assert_array_equal(model.get_weights()[0], kernels[step])
    with pytest.raises(ValueError, match="`which` must be chosen, best or last"):
        load_weights(tmp_path, model, "first")
    # A new best lets go of the old one.
    training.save(6, best_step=6)
    assert checkpoint_steps(tmp_path) == [5, 6]


def test_state_alone_is_renewed_at_the_same_step(tmp_path):
    training = Training(tmp_path)
    training.save(4)
    before = (tmp_path / "step-4" / "variables.index").stat().st_mtime_ns
    training.save(4, best_step=4)
    assert (tmp_path / "step-4" / "variables.index").stat().st_mtime_ns == before
    other = Training(tmp_path)
    assert other.checkpoints.restore()
    assert other.checkpoints.state.best_step == 4


def test_failed_write_leaves_the_previous_checkpoint(tmp_path):
    training = Training(tmp_path)
    training.save(1)
    before = training.values
    training.change()
    with _largest_file(1000), pytest.raises(RunError) as caught:
        training.save(2)
    text = str(caught.value)
    assert text.startswith(f"Cannot write the checkpoint of step 2 to `{tmp_path}`: File too large")
    mount = next(p for p in (tmp_path, *tmp_path.parents) if os.path.ismount(p))
    assert f"Its file system is the one at `{mount}` (" in text
    assert text.endswith("Free some space there, then continue from step 1 with --resume.")
    # Nothing of the failed one stays to fill the disk.
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]
    again = Training(tmp_path)
    assert again.checkpoints.restore()
    assert all(_equal(again.values, before))
    again.save(2)
    assert checkpoint_steps(tmp_path) == [1, 2]


@pytest.mark.parametrize("file", ["variables.data-00000-of-00001", "variables.index", "state.json"])
@pytest.mark.parametrize("size", [0, 100])
def test_unreadable_checkpoint_falls_back_to_the_one_before(tmp_path, file, size):
    training = Training(tmp_path)
    training.save(1)
    before = training.values
    training.change()
    training.save(2)
    for step, resumed in ((2, True), (1, False)):
        path = tmp_path / f"step-{step}" / file
        path.write_bytes(path.read_bytes()[:size])
        notes = []
        again = Training(tmp_path)
        if resumed:
            assert again.checkpoints.restore(notes.append)
            assert again.checkpoints.state.step == 1
            assert all(_equal(again.values, before))
            assert len(notes) == 1
            assert "step-2`, which cannot be read" in notes[0]
            # The one that cannot be read makes room for one that can.
            again.save(2)
            assert Training(tmp_path).checkpoints.restore()
            again.checkpoints._saved = None
            path.write_bytes(path.read_bytes()[:size])
        else:
            with pytest.raises(RunError, match=r"None of the checkpoints in `.*` can be read\."):
                again.checkpoints.restore(notes.append)
            with pytest.raises(RunError, match="cannot be read"):
                load_weights(tmp_path, again.model)


def test_later_checkpoints_that_are_left_do_not_push_out_new_ones(tmp_path):
    training = Training(tmp_path, keep=1)
    for step in (10, 20):
        training.save(step, best_step=10)
    (tmp_path / "step-20" / "state.json").write_text("{")
    again = Training(tmp_path, keep=1)
    assert again.checkpoints.restore()
    again.save(11)
    assert checkpoint_steps(tmp_path) == [10, 11]


def test_rubbish_of_a_killed_process_is_removed_by_the_one_that_writes(tmp_path):
    Training(tmp_path).save(1)
    for name in (".step-2.partial", ".step-1.removed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "variables.index").write_text("half")
    # Another worker must not touch what the chief may be writing now.
    other = Training(tmp_path, writes=False)
    assert other.checkpoints.restore()
    other.save(2)
    assert len(list(tmp_path.iterdir())) == 3
    assert Training(tmp_path).checkpoints.restore()
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


def test_other_workers_leave_no_files(tmp_path):
    training = Training(tmp_path / "run", writes=False)
    training.save(1)
    assert training.checkpoints.saved == 1
    assert not (tmp_path / "run").exists()


def test_checkpoint_of_another_model_exception_raised(tmp_path):
    Training(tmp_path).save(1)
    text = (
        rf"The checkpoint `{tmp_path}/step-1` is of another model: among its weights it has "
        r"\S*code/kernel \[50, 20\] where there is \S*code/kernel \[50, 19\] now\."
    )
    other = Training(tmp_path, units=19)
    before = other.values
    with pytest.raises(RunError, match=text):
        other.checkpoints.restore()
    with pytest.raises(RunError, match=text):
        load_weights(tmp_path, other.model)
    assert all(_equal(other.values, before))
    smaller = keras.Sequential([keras.Input((50,)), keras.layers.Dense(20, name="code")])
    with pytest.raises(RunError, match=r"it has \S*gamma \[20\] where there is nothing"):
        load_weights(tmp_path, smaller)
    with pytest.raises(RunError, match="of another kind of training: among its average it has"):
        Training(tmp_path, ema=0.0).checkpoints.restore()


def test_no_checkpoint_exception_raised(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(RunError, match="holds no checkpoint yet"):
            load_weights(folder, Training(tmp_path).model)
        with pytest.raises(RunError, match="holds no checkpoint yet"):
            read_weights(folder)


def test_checkpoints_of_0_1_0_are_read(tmp_path, root):
    with tarfile.open(root / "tests" / "fixtures" / "run-0.1.0.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "run" / "checkpoints"
    assert checkpoint_steps(folder) == []

    class Old(Training):
        def __init__(self):
            settings = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
            self.model = build_network(settings["model"], (42, 42, 1), 10, pool_crops=True)
            learning = self.model.trainable_variables
            config = FitConfig(optimizer=settings["optimizer"])
            self.updater = Updater(config, learning, [1.0] * len(learning))
            self.groups = {"weights": self.model.weights, "optimizer": self.updater.variables}
            self.checkpoints = Checkpoints(folder, self.model, self.groups)

    one, other = Old(), Old()
    assert load_weights(folder, one.model) == 3
    assert other.checkpoints.restore()
    state = other.checkpoints.state
    assert (state.step, state.batches, state.history) == (3, 3, [])
    assert state.seconds > 0
    assert all(_equal(one.model.get_weights(), other.model.get_weights()))
    iterations = next(v for v in other.updater.variables if v.name == "iteration")
    assert int(iterations.numpy()) == 3
    other.save(4)
    third = Old()
    assert third.checkpoints.restore()
    assert third.checkpoints.state.step == 4
