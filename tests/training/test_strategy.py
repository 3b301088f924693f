import json

import pytest

from stn_tf.errors import ConfigError
from stn_tf.training.strategy import Cluster, create_strategy, local_replica_ids, read_cluster

_TWO = {"worker": ["a:1", "b:2"]}


def _text(cluster, kind="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Cluster(1, 0)),
        ("", Cluster(1, 0)),
        (_text({"worker": ["a:1"]}), Cluster(1, 0)),
        (_text(_TWO), Cluster(2, 0)),
        (_text(_TWO, index=1), Cluster(2, 1)),
        (_text({"chief": ["a:1"], **_TWO}, "chief"), Cluster(3, 0)),
        (_text({"chief": ["a:1"], **_TWO}, index=0), Cluster(3, 1)),
    ],
)
def test_read_cluster_preset(monkeypatch, text, expected):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    assert read_cluster() == expected
    assert read_cluster().is_chief == (expected.index == 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "TypeError"),
        (json.dumps({"cluster": _TWO}), "KeyError: 'task'"),
        (_text(_TWO, index=2), "there is no worker with index 2"),
        (_text(_TWO, index=-1), "there is no worker with index -1"),
        (_text(_TWO, kind="chief"), "there is no chief with index 0"),
        (_text({"ps": ["a:1"], **_TWO}), "only the tasks `worker` and `chief` can train"),
        (_text({"worker": ["a", "b"]}), "each address must be host:port"),
        (_text({"worker": 3}), "TypeError"),
    ],
)
def test_read_cluster_exception_raised(monkeypatch, text, reason):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigError) as caught:
        read_cluster()
    assert str(caught.value).startswith("The environment variable TF_CONFIG is malformed: ")
    assert reason in str(caught.value)
    assert "It must be like {" in str(caught.value)


def test_multi_worker_without_tf_config_exception_raised(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="needs the environment variable TF_CONFIG"):
        create_strategy("multi-worker", Cluster())


def test_one_device_has_one_replica():
    assert create_strategy("one", Cluster()).num_replicas_in_sync == 1


def test_workers_feed_their_own_replicas():
    from tensorflow import distribute

    ids = [list(local_replica_ids(distribute.InputContext(2, i, 6))) for i in range(2)]
    assert ids == [[0, 1, 2], [3, 4, 5]]
