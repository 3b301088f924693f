"""Where the replicas of a training step run: one device, several, or several machines.

Cluster              what `TF_CONFIG` says about this worker
create_strategy      the tf.distribute strategy of a name
use_devices          that of settings, before anything else starts TensorFlow
local_replica_ids    which replicas of the global batch a worker feeds
agree_on_step        whether all workers start alike
from_chief           the chief's numbers, on every worker
"""

import dataclasses
import functools
import json
import math
import os
from collections.abc import Sequence

import tensorflow as tf

from stn_tf.errors import ConfigError, RunError
from stn_tf.training.config import FitConfig

_EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """This worker's place among the workers."""

    workers: int = 1
    index: int = 0

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the run."""
        return self.index == 0


def read_cluster() -> Cluster:
    """Returns what the environment variable `TF_CONFIG` says; one worker if it is not set.

    Raises:
        ConfigError: If `TF_CONFIG` is malformed.
    """
    text = os.environ.get("TF_CONFIG", "")
    if not text.strip():
        return Cluster()
    try:
        settings = json.loads(text)
        cluster, task = settings["cluster"], settings["task"]
        kind, index = task["type"], int(task["index"])
        chiefs, workers = list(cluster.get("chief", ())), list(cluster.get("worker", ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _malformed(f"{type(error).__name__}: {error}") from None
    if set(cluster) - {"chief", "worker"} or kind not in ("chief", "worker"):
        raise _malformed("only the tasks `worker` and `chief` can train")
    addresses = chiefs + workers
    if not all(isinstance(a, str) and a.rpartition(":")[2].isdigit() for a in addresses):
        raise _malformed("each address must be host:port")
    if not 0 <= index < len(chiefs if kind == "chief" else workers) or len(chiefs) > 1:
        raise _malformed(f"there is no {kind} with index {index}")
    return Cluster(len(addresses), index + (len(chiefs) if kind == "worker" else 0))


def create_strategy(name: str, cluster: Cluster) -> tf.distribute.Strategy:
    """Returns the strategy of a name, to be called before anything else starts TensorFlow.

    Args:
        name: `one`, `mirrored` (all GPUs, or else all logical CPUs), `multi-worker` (from
            `TF_CONFIG`), or `auto`: the last that this machine and environment allow.
        cluster: From `read_cluster`.

    Raises:
        ConfigError: If `multi-worker` cannot start.
    """
    if name == "multi-worker" or (name == "auto" and cluster.workers > 1):
        if not os.environ.get("TF_CONFIG", "").strip():
            raise ConfigError(
                "`strategy` multi-worker needs the environment variable TF_CONFIG, such as "
                f"{_EXAMPLE}."
            )
        try:
            return _multi_worker(os.environ["TF_CONFIG"])
        except RuntimeError as error:
            raise ConfigError(
                "`strategy` multi-worker must be created before TensorFlow runs anything, but it "
                f"has run already in this process ({error}). In a fresh process, call "
                "`stn_tf.training.use_devices` before making data, models or metrics."
            ) from None
    # Listing physical devices, unlike logical ones, does not start the runtime.
    gpus = len(tf.config.list_physical_devices("GPU"))
    if name == "mirrored" or (name == "auto" and gpus > 1):
        kind = "GPU" if gpus else "CPU"
        count = len(tf.config.list_logical_devices(kind))
        return _mirrored(tuple(f"{kind}:{i}" for i in range(count)))
    return tf.distribute.get_strategy()


def use_devices(config: FitConfig) -> tf.distribute.Strategy:
    """Returns the strategy that `fit` will use with these settings.

    Several workers must call it before they make data, models or metrics: TensorFlow finds out
    about other workers only before it computes anything.

    Raises:
        ConfigError: If the strategy cannot start.
    """
    return create_strategy(config.strategy, read_cluster())


@functools.cache
def _multi_worker(tf_config: str) -> tf.distribute.Strategy:
    return tf.distribute.MultiWorkerMirroredStrategy()


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # One for a process: a second one numbers its exchanges from the start again, and TensorFlow
    # 2.21 takes them for those of the first and refuses their shapes.
    return tf.distribute.MirroredStrategy(list(devices))


def local_replica_ids(context: tf.distribute.InputContext) -> range:
    """Returns the replicas that one input pipeline feeds, in the order in which it feeds them."""
    local = context.num_replicas_in_sync // context.num_input_pipelines
    return range(context.input_pipeline_id * local, (context.input_pipeline_id + 1) * local)


def agree_on_step(strategy: tf.distribute.Strategy, step: int) -> None:
    """Raises RunError unless all workers start at the same step."""
    if strategy.num_replicas_in_sync == 1:
        return

    def extent() -> tf.Tensor:
        own = tf.constant([step, step * step], tf.float64)
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.MEAN, own)

    result = strategy.run(tf.function(extent))
    mean, mean_square = strategy.experimental_local_results(result)[0].numpy()
    if not math.isclose(mean * mean, mean_square):
        raise RunError(
            f"This worker would continue after step {step}, but others after another. All workers "
            "must see the same run folder: put it on a file system that they share."
        )


def from_chief(strategy: tf.distribute.Strategy, values: Sequence[float]) -> list[float]:
    """Returns the chief's values on every worker, each of which must call this."""

    def chosen() -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        is_first = context.replica_id_in_sync_group == 0
        own = tf.constant(list(values), tf.float64)
        own = tf.where(is_first, own, tf.zeros_like(own))
        return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

    result = strategy.run(tf.function(chosen))
    return list(map(float, strategy.experimental_local_results(result)[0].numpy()))


def _malformed(reason: str) -> ConfigError:
    return ConfigError(
        f"The environment variable TF_CONFIG is malformed: {reason}. It must be like {_EXAMPLE}."
    )
