import contextlib
import os
import resource
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf

from stn_tf.errors import RunError
from stn_tf.training.checkpoint import KEEP, Checkpoints, load_weights
from stn_tf.training.config import ExperimentConfig
from stn_tf.training.optimizers import build_optimizer


def _network(precision="none"):
    model = keras.Sequential([keras.Input((50,)), keras.layers.Dense(20)])
    config = ExperimentConfig(mixed_precision=precision)
    return model, build_optimizer(config, model.trainable_variables, [])


def _change(model, optimizer):
    gradients = [tf.ones_like(v.value) for v in model.trainable_variables]
    optimizer.apply(gradients, model.trainable_variables)


def _values(model, optimizer):
    return [v.numpy() for v in (*model.variables, *optimizer.variables)]


@contextlib.contextmanager
def _largest_file(size):
    """Files cannot grow beyond a size; Python ignores the signal, so that writing fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("precision", ["none", "float16"])
def test_all_variables_come_back(tmp_path, precision):
    model, optimizer = _network(precision)
    _change(model, optimizer)
    Checkpoints(tmp_path, model, optimizer).save(3)
    other, other_optimizer = _network(precision)
    assert Checkpoints(tmp_path, other, other_optimizer).restore() == 3
    for a, b in zip(_values(model, optimizer), _values(other, other_optimizer), strict=True):
        np.testing.assert_array_equal(a, b)
    third, _ = _network()
    assert load_weights(tmp_path, third) == 3
    np.testing.assert_array_equal(third.get_weights()[0], model.get_weights()[0])


def test_latest_few_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, *_network())
    assert checkpoints.restore() == 0
    for step in range(1, KEEP + 3):
        checkpoints.save(step)
    assert len(list(tmp_path.glob("*.index"))) == KEEP
    assert not (tmp_path / "step-2.index").exists()
    # A folder that was moved can be read.
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert load_weights(moved, _network()[0]) == KEEP + 2


def test_failed_write_leaves_the_previous_checkpoint(tmp_path):
    model, optimizer = _network()
    checkpoints = Checkpoints(tmp_path, model, optimizer)
    checkpoints.save(1)
    before = _values(model, optimizer)
    _change(model, optimizer)
    with _largest_file(1000), pytest.raises(RunError) as caught:
        checkpoints.save(2)
    text = str(caught.value)
    assert text.startswith(f"Cannot write the checkpoint of step 2 to `{tmp_path}`: File too large")
    mount = next(p for p in (tmp_path, *tmp_path.parents) if os.path.ismount(p))
    assert f"Its file system is the one at `{mount}` (" in text
    assert text.endswith("Free some space there, then continue from step 1 with --resume.")
    # Nothing of the failed one stays to fill the disk.
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"checkpoint", "step-1"}

    again = _network()
    restored = Checkpoints(tmp_path, *again)
    assert restored.restore() == 1
    for a, b in zip(before, _values(*again), strict=True):
        np.testing.assert_array_equal(a, b)
    restored.save(2)
    assert load_weights(tmp_path, _network()[0]) == 2


def test_unreadable_checkpoint_falls_back_to_the_one_before(tmp_path):
    model, optimizer = _network()
    checkpoints = Checkpoints(tmp_path, model, optimizer)
    checkpoints.save(1)
    _change(model, optimizer)
    checkpoints.save(2)
    for step, resumed in ((2, 1), (1, None)):
        data = tmp_path / f"step-{step}.data-00000-of-00001"
        data.write_bytes(data.read_bytes()[:100])
        notes = []
        again = Checkpoints(tmp_path, *_network())
        if resumed is None:
            with pytest.raises(RunError, match=r"None of the checkpoints in `.*` can be read\."):
                again.restore(notes.append)
        else:
            assert again.restore(notes.append) == resumed
            assert len(notes) == 1
            assert "step-2`, which cannot be read" in notes[0]


def test_rubbish_of_a_killed_write_is_removed(tmp_path):
    Checkpoints(tmp_path, *_network()).save(1)
    (tmp_path / "step-2_temp").mkdir()
    (tmp_path / "step-2_temp" / "part-00000-of-00001.index").write_text("half")
    (tmp_path / "step-2.data-00000-of-00001").write_text("half")
    assert Checkpoints(tmp_path, *_network()).restore() == 1
    assert not list(tmp_path.glob("step-2*"))


def test_other_workers_leave_no_files(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run", *_network(), is_chief=False)
    checkpoints.save(1)
    aside = checkpoints._aside
    assert os.path.isdir(aside)
    checkpoints.close()
    assert not os.path.exists(aside)
    assert not (tmp_path / "run").exists()


def test_no_checkpoint_exception_raised(tmp_path):
    with pytest.raises(RunError, match="holds no checkpoint yet"):
        load_weights(tmp_path, _network()[0])


def test_full_disk_stops_the_run_and_space_lets_it_go_on(
    tmp_path, tiny_arguments, stn_tf_process, finish, undisturbed
):
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.call(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", mount]) != 0:
        pytest.skip("needs the right to mount a small file system")
    try:
        run = mount / "run"
        code, stdout, error = finish(stn_tf_process(*tiny_arguments, "--out", run))
        assert (code, stdout) == (1, "")
        assert error.startswith(
            f"Error: Cannot write the checkpoint of step 30 to `{run}/checkpoints`: No space left "
            f"on device. Its file system is the one at `{mount}` ("
        )
        assert error.endswith("continue from step 20 with --resume.")
        subprocess.check_call(["mount", "-o", "remount,size=64m", mount])
        code, stdout, _ = finish(stn_tf_process("train", run / "config.toml", "--resume"))
        assert code == 0
        assert (run / "report.json").exists()
        one, other = _network_weights(run), _network_weights(undisturbed)
        assert one == other
    finally:
        subprocess.call(["umount", mount])


def _network_weights(run):
    from stn_tf.experiments import Run

    return Run(run).report["weights_sha256"]
