"""Trains on several devices or workers; a process of its own, whose devices are fixed at its start.

    python tests/training/replicas.py CASE STRATEGY OUT

Writes `losses`, one a step, and all weights, of each device, into `OUT.npz`.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

if sys.argv[2] == "mirrored":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from stn_tf.errors import ConfigError
from stn_tf.training import FitConfig, fit, use_devices

# What several workers must do first.
STRATEGY = use_devices(FitConfig(strategy=sys.argv[2]))

sys.path.insert(0, str(Path(__file__).parent))
from conftest import Digits  # noqa: E402

COMMON = {
    "steps": 20,
    "learning_rate": 0.02,
    "learning_rate_schedule": "constant",
    "optimizer": "momentum",
    "log_every": 1,
    "evaluate_every": 10,
    "checkpoint_every": 8,
    "choose": "last",
    "deterministic": False,
    "strategy": sys.argv[2],
}
ACCUMULATED = {"accumulate_steps": 2, "clip_norm": 0.5, "ema": 0.9, "learning_rate": 0.1}
# A case: settings, kind of batch normalisation, kind of data.
CASES = {
    "frozen": (ACCUMULATED, "frozen", "by_step"),
    "synchronised": ({"weight_decay": 0.1}, "synchronised", "dataset"),
    "plain": ({"steps": 8}, "plain", "by_step"),
    "half": ({"mixed_precision": "float16", "steps": 4}, "frozen", "by_step"),
    # On the last device alone.
    "broken": ({"on_nan": "skip", "steps": 8}, "synchronised", "broken"),
    "early": ({"patience": 1, "evaluate_every": 5, "learning_rate": 1e-30}, "frozen", "by_step"),
}


def model(norm: str) -> keras.Model:
    normalisation = keras.layers.BatchNormalization(
        synchronized=norm == "synchronised", momentum=0.9
    )
    normalisation.trainable = norm != "frozen"
    layers = [keras.layers.Conv2D(6, 3, use_bias=False), normalisation, keras.layers.ReLU()]
    head = [keras.layers.Flatten(), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers, *head])


class LastBroken:
    """Digits by step; the last images of some batches are no numbers."""

    def __init__(self, data, *steps):
        self._data, self._steps = data, steps

    def batches(self, start_step, **options):
        last = options["replicas"] - 1 in options["replica_ids"]
        data = self._data.batches(start_step, **options)
        each = len(options["replica_ids"])
        steps = tf.constant(self._steps, tf.int64)

        def broken(i, pair):
            x, y = pair
            bad = tf.reduce_any(steps == i // each + start_step + 1) & (i % each == each - 1)
            where = bad & last & (tf.range(len(x)) == len(x) - 1)[:, None, None, None]
            return tf.where(where, np.nan, x), y

        return data.enumerate().map(broken)


def train(case: str, out: Path, steps: int = 0) -> object:
    digits = Digits()
    settings, norm, kind = CASES[case]
    settings = {**COMMON, **settings, **({"steps": steps} if steps else {})}
    tf.random.set_seed(1)
    data = {
        "by_step": digits.by_step,
        "dataset": digits.dataset,
        "broken": lambda: LastBroken(digits.by_step(), 3, 7),
    }[kind]()
    return fit(
        lambda: model(norm),
        data,
        digits.validation,
        FitConfig(**settings),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        out=out,
        resume=out.exists(),
    )


class Odd:
    """Data that two devices cannot share."""

    def batches(self, start_step, *, replicas, replica_ids):
        raise ValueError("`batch_size` must be a multiple of 2")


def refusals() -> None:
    """Prints what several devices cannot do."""
    for given in (model("plain"), lambda: model("plain")):
        try:
            fit(given, Odd(), config=FitConfig(**COMMON), loss="mse", progress=False)
        except ConfigError as error:
            print(error)


def main() -> None:
    case, _, out = sys.argv[1:]
    for name in case.split(","):
        folder = Path(out) / f"{name}-{sys.argv[2]}"
        if name == "refusals":
            refusals()
            continue
        if name == "plain":
            train(name, folder, steps=4)
        result = train(name, folder)
        arrays = {}
        for number, variable in enumerate(result.model.weights):
            local = STRATEGY.experimental_local_results(variable.value)
            arrays |= {f"{number}_{i}": part.numpy() for i, part in enumerate(local)}
        task = getattr(STRATEGY.cluster_resolver, "task_id", 0)
        np.savez(
            Path(out) / f"{name}-{sys.argv[2]}-{task}.npz",
            steps=result.steps,
            skipped=result.skipped_steps,
            replicas=result.replicas,
            **arrays,
        )


if __name__ == "__main__":
    main()
