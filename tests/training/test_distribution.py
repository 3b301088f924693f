"""Several replicas, in processes: devices and workers are fixed when TensorFlow starts."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

from stn_tf.experiments import Run

_TWO_CPUS = """
import sys
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""

_MIRRORED_RUNS = """
from pathlib import Path
from stn_tf.experiments import load_experiment
from stn_tf.experiments import train

for strategy in ("mirrored", "one"):
    config = load_experiment("digits-r", [*sys.argv[2:], f"strategy={strategy}"])
    report = train(config, Path(sys.argv[1], strategy), progress=False)
    assert report.replicas == {"one": 1, "mirrored": 2}[strategy], report
"""

_OVERFLOW_IN_ONE_REPLICA = """
from stn_tf.experiments import load_experiment
from stn_tf.training.step import Trainer
from stn_tf.training.strategy import Cluster, create_strategy

config = load_experiment("digits-r", ["model=fcn", "batch_size=4", "mixed_precision=float16"])
strategy = create_strategy("mirrored", Cluster())
trainer = Trainer(config, strategy, (28, 28, 1), 10)



def components(variable):
    return [part.numpy() for part in strategy.experimental_local_results(variable.value)]


def weights():
    return [components(variable) for variable in trainer.model.trainable_variables]


before, scale = weights(), components(trainer.optimizer.dynamic_scale)[0]


def step(*brightness):
    make = lambda context: tf.fill((2, 28, 28, 1), brightness[context.replica_id_in_sync_group])
    images = strategy.experimental_distribute_values_from_function(make)
    labels = strategy.experimental_distribute_values_from_function(lambda _: tf.constant([1, 2]))
    trainer.step(images, labels)


# Only the second replica's gradients are not finite, and both must skip the step.
step(0.5, 1e9)
for old, new in zip(before, weights()):
    np.testing.assert_array_equal(old, new)
assert components(trainer.optimizer.dynamic_scale) == [scale / 2] * 2
step(0.5, 0.25)
changed = [not np.array_equal(old, new) for old, new in zip(before, weights())]
assert any(changed)
for first, second in weights():
    np.testing.assert_array_equal(first, second)
"""

_SMALL = (
    "model=st-fcn-affine",
    "steps=6",
    "batch_size=16",
    "optimizer=momentum",
    "learning_rate=0.02",
    "warmup_steps=0",
    "checkpoint_every=3",
)


def _run_script(script, root, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", _TWO_CPUS + script, *map(str, arguments)],
        cwd=root,
        text=True,
        timeout=240,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_mirrored_run_equals_one_device(tmp_path, root):
    _run_script(_MIRRORED_RUNS, root, tmp_path, *_SMALL)
    one, mirrored = (Run(tmp_path / name) for name in ("one", "mirrored"))
    moved = 0.0
    for start, a, b in zip(
        _initial_weights(one),
        one.load_model().get_weights(),
        mirrored.load_model().get_weights(),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)
        moved = max(moved, np.abs(a - start).max())
    # The comparison says something only if training moved the weights by much more than that.
    assert moved > 1e-3


def _initial_weights(run):
    """The initial weights of a run."""
    import keras

    from stn_tf.training.step import build_model

    keras.utils.set_random_seed(run.config.seed)
    return build_model(run.config, run.input_shape, len(run.classes)).get_weights()


def test_overflow_in_one_replica_skips_the_step_on_all(root):
    _run_script(_OVERFLOW_IN_ONE_REPLICA, root)


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _train_on_two_workers(stn_tf_process, finish, aside, *arguments):
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(2)]
    processes = []
    for index in range(2):
        place = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {"TF_CONFIG": json.dumps(place), "TMPDIR": str(aside)}
        processes.append(stn_tf_process(*arguments, "--json", **environment))
    results = [finish(process) for process in processes]
    assert [code for code, _, _ in results] == [0, 0], results
    return [json.loads(stdout) for _, stdout, _ in results]


def test_two_workers_end_with_identical_weights(tmp_path, root, stn_tf_process, finish):
    settings = [word for setting in _SMALL for word in ("--set", setting)]
    run, aside = tmp_path / "two", tmp_path / "aside"
    aside.mkdir()
    reports = _train_on_two_workers(
        stn_tf_process, finish, aside, "train", "digits-r", *settings, "--out", run
    )
    assert [report["replicas"] for report in reports] == [2, 2]
    assert reports[0]["weights_sha256"] == reports[1]["weights_sha256"]
    # Only the chief writes the run, and the other worker leaves nothing.
    assert Run(run).report == reports[0]
    assert list(aside.iterdir()) == []

    one = tmp_path / "one"
    code, _, error = finish(stn_tf_process("train", "digits-r", *settings, "--out", one))
    assert code == 0, error
    for a, b in zip(
        Run(one).load_model().get_weights(), Run(run).load_model().get_weights(), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_batch_that_replicas_cannot_share_exception_raised(tmp_path, root):
    message = "`batch_size` must be a multiple of the 2 replicas, but it is 15."
    with pytest.raises(AssertionError, match=message):
        _run_script(_MIRRORED_RUNS, root, tmp_path, *_SMALL, "batch_size=15")
