"""Processes that are killed at any moment, also while they write a checkpoint."""

import json
import os
import subprocess

import numpy as np
import pytest

from stn_tf.errors import RunError
from stn_tf.training.checkpoint import checkpoint_steps, load_weights, read_group, read_state


def _train(run_script, root, out, seed, kills):
    script = (root / "tests" / "training" / "killed.py").read_text()
    return run_script(f"__file__ = 'tests/training/killed.py'\n{script}", out, seed, kills)


def _everything(out):
    """All that the last checkpoint holds but speed, and the figures of each step."""
    folder = out / "checkpoints" / f"step-{checkpoint_steps(out / 'checkpoints')[-1]}"
    state = {k: v for k, v in vars(read_state(folder)).items() if "seconds" not in k}
    for key in ("timed_images", "timed_wait"):
        del state[key]
    groups = {name: read_group(folder, name) for name in ("weights", "average", "optimizer")}
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    speed = ("images_per_second", "input_wait")
    figures = [{k: v for k, v in line.items() if k not in speed} for line in lines]
    return state, groups, figures


@pytest.mark.slow
def test_ten_kills_change_nothing(tmp_path, root, run_script):
    done = _train(run_script, root, tmp_path / "killed", 1, 10)
    words = done.stdout.split()
    # Where a process came to its end before its moment, it was not killed.
    assert words.count("killed") >= 4, done.stdout
    assert words[-2:] == ["ended", "10"]
    assert "SaveV2" in words or "fsync" in words
    _train(run_script, root, tmp_path / "whole", 1, 0)
    state, groups, figures = _everything(tmp_path / "killed")
    whole_state, whole_groups, whole_figures = _everything(tmp_path / "whole")
    assert state == whole_state
    for name, group in whole_groups.items():
        for place, (path, value) in group.items():
            np.testing.assert_array_equal(groups[name][place][1], value, err_msg=path)
    assert figures == whole_figures
    # Nothing half-written or half-removed is left.
    names = {path.name for path in (tmp_path / "killed" / "checkpoints").iterdir()}
    kept = {path.name for path in (tmp_path / "whole" / "checkpoints").iterdir()}
    assert names == kept


def test_full_disk_stops_and_space_lets_it_go_on(tmp_path, digits, config, loss, network):
    from stn_tf.training import fit

    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.call(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", mount]) != 0:
        pytest.skip("needs the right to mount a small file system")
    try:
        arguments = {"loss": loss, "out": mount / "run", "progress": False}
        settings = config(steps=12, checkpoint_every=1, keep_checkpoints=9)
        with pytest.raises(RunError) as caught:
            fit(network, digits.by_step(), None, settings, **arguments)
        text = str(caught.value)
        assert f"to `{mount}/run/checkpoints`: No space left on device. Its file system" in text
        last = checkpoint_steps(mount / "run" / "checkpoints")[-1]
        assert last >= 1
        assert text.endswith(f"continue from step {last} with --resume.")
        assert load_weights(mount / "run" / "checkpoints", network()) == last
        subprocess.check_call(["mount", "-o", "remount,size=64m", mount])
        result = fit(network, digits.by_step(), None, settings, resume=True, **arguments)
        whole = fit(network, digits.by_step(), None, settings, loss=loss, progress=False)
        for a, b in zip(result.model.get_weights(), whole.model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    finally:
        subprocess.call(["umount", mount])
        assert not os.path.ismount(mount)
