"""Several replicas train as one device does. In processes, whose devices are fixed at the start."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest


def _start(root, case, strategy, out, **environment):
    script = root / "tests" / "training" / "replicas.py"
    return subprocess.Popen(
        [sys.executable, script, case, strategy, out],
        env={**os.environ, "PYTHONPATH": str(root), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finish(process):
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said[-3000:]
    return said


def _losses(out, name):
    lines = (out / name / "metrics.jsonl").read_text().splitlines()
    return [line["loss"] for line in map(json.loads, lines) if "loss" in line]


def _weights(out, name, replica=0):
    with np.load(out / f"{name}.npz") as kept:
        names = sorted(n for n in kept.files if n.endswith(f"_{replica}"))
        return {name.partition("_")[0]: kept[name] for name in names}


@pytest.fixture(scope="module")
def trained(root, tmp_path_factory):
    """Every case on one device and on two logical ones; what was said."""
    out = tmp_path_factory.mktemp("replicas")
    said = {}
    for strategy in ("one", "mirrored"):
        more = ",plain,half,refusals" if strategy == "mirrored" else ""
        cases = f"frozen,synchronised,broken{more}"
        said[strategy] = _finish(_start(root, cases, strategy, out))
    return out, said


@pytest.mark.slow
@pytest.mark.parametrize("case", ["frozen", "synchronised", "broken"])
def test_two_devices_train_as_one(trained, case):
    out, _ = trained
    one, two = (_losses(out, f"{case}-{strategy}") for strategy in ("one", "mirrored"))
    assert len(one) == (6 if case == "broken" else 20)
    np.testing.assert_allclose(one, two, atol=2e-5)
    assert one[-1] < 0.9 * one[0]
    a, b = _weights(out, f"{case}-one-0"), _weights(out, f"{case}-mirrored-0")
    for number in a:
        np.testing.assert_allclose(a[number], b[number], atol=2e-5)


@pytest.mark.parametrize("case", ["frozen", "synchronised", "broken", "plain", "half"])
def test_devices_end_with_equal_weights(trained, case):
    out, _ = trained
    a, b = (_weights(out, f"{case}-mirrored-0", replica) for replica in (0, 1))
    assert a.keys() == b.keys()
    for number in a:
        np.testing.assert_array_equal(a[number], b[number])
    with np.load(out / f"{case}-mirrored-0.npz") as kept:
        assert kept["replicas"] == 2
        assert kept["skipped"] == (2 if case == "broken" else 0)


def test_what_is_said(trained):
    _, said = trained
    text = said["mirrored"]
    warning = "1 layers of batch normalisation, such as batch_normalization"
    # Of the one case in which they differ, in both of its parts.
    assert text.count(warning) == 2
    assert "see only the examples of their own device" in text
    assert "Continuing after step 4." in text
    assert "by reading again and skipping what was used, because 2 devices share it" in text
    assert "; 2 replicas." in text
    assert "by the state of its iterator" in said["one"]
    assert "The loss is nan in step 3, which is left out" in text
    assert (
        "The model was made for one device, but there are 2. Give a function that returns the "
        "model, or use strategy=one." in text
    )
    odd = "`train` cannot be shared by 2 replicas: `batch_size` must be a multiple of 2"
    assert odd in text


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.mark.slow
def test_two_workers_train_as_one(trained, root, tmp_path):
    out, _ = trained
    addresses = [f"127.0.0.1:{port}" for port in _free_ports(2)]
    cases = "frozen,synchronised,early"
    processes = []
    for index in range(2):
        place = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = {"TF_CONFIG": json.dumps(place)}
        processes.append(_start(root, cases, "multi-worker", tmp_path, **environment))
    said = [_finish(process) for process in processes]
    for case in ("frozen", "synchronised"):
        name = f"{case}-multi-worker"
        np.testing.assert_allclose(_losses(out, f"{case}-one"), _losses(tmp_path, name), atol=2e-5)
        one = _weights(out, f"{case}-one-0")
        first, second = (_weights(tmp_path, f"{name}-{task}") for task in (0, 1))
        for number in one:
            np.testing.assert_array_equal(first[number], second[number])
            np.testing.assert_allclose(one[number], first[number], atol=2e-5)
    for task in (0, 1):
        with np.load(tmp_path / f"early-multi-worker-{task}.npz") as kept:
            assert (kept["steps"], kept["replicas"]) == (10, 2)
    # Only the chief says and writes anything.
    assert "2 replicas on 2 workers." in said[0]
    assert "2 replicas" not in said[1]
    folders = {path.name for path in (tmp_path / "frozen-multi-worker").iterdir()}
    assert folders == {"checkpoints", "metrics.jsonl", "tensorboard"}
    assert len(list((tmp_path / "frozen-multi-worker" / "tensorboard").iterdir())) == 1
