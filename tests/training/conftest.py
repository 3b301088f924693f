"""Real digits of 8 x 8 pixels, small models for them, and data as a function of the step."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from stn_tf.layers import SpatialTransformer
from stn_tf.training import FitConfig

BATCH = 16


class Digits:
    """Training and validation digits."""

    def __init__(self):
        found = load_digits()
        images = (found.images / 16.0).astype(np.float32)[..., None]
        labels = found.target.astype(np.int32)
        self.x, self.y = images[:1500], labels[:1500]
        self.validation_x, self.validation_y = images[1500:], labels[1500:]

    @property
    def validation(self) -> tf.data.Dataset:
        """Batches of 100; the last has 97."""
        pair = (self.validation_x, self.validation_y)
        return tf.data.Dataset.from_tensor_slices(pair).batch(100)

    def dataset(self, *, seed: int | None = 3, batch: int = BATCH) -> tf.data.Dataset:
        """Shuffled batches; the last of the 1,500 is smaller."""
        return tf.data.Dataset.from_tensor_slices((self.x, self.y)).shuffle(500, seed).batch(batch)

    def by_step(self, batch: int = BATCH) -> "ByStep":
        return ByStep(self.x, self.y, batch)

    def numpy_batch(self, step: int, batch: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
        """The batch that `by_step` gives at a step, counted from 0."""
        at = (step * batch + np.arange(batch)) * 7 % len(self.x)
        return self.x[at], self.y[at]


class ByStep:
    """Every seventh digit, again and again."""

    def __init__(self, x: np.ndarray, y: np.ndarray, batch: int):
        self._x, self._y, self._batch = x, y, batch

    def batches(
        self, start_step: int, *, replicas: int = 1, replica_ids: Sequence[int] = (0,)
    ) -> tf.data.Dataset:
        count, own = len(replica_ids), self._batch // replicas
        ids = tf.constant(list(replica_ids), tf.int64)

        def batch(element: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            start = element // count * self._batch + tf.gather(ids, element % count) * own
            at = (start + tf.range(own, dtype=tf.int64)) * 7 % len(self._x)
            return tf.gather(self._x, at), tf.gather(self._y, at)

        return tf.data.Dataset.range(start_step * count, 10**9).map(batch)


@pytest.fixture(scope="session")
def digits() -> Digits:
    return Digits()


@pytest.fixture(scope="session")
def config() -> Callable[..., FitConfig]:
    """Makes settings of few steps; without what cannot be switched off in this process again."""

    def make(**settings) -> FitConfig:
        few = {
            "steps": 6,
            "learning_rate": 0.01,
            "log_every": 1,
            "checkpoint_every": 3,
            "evaluate_every": 3,
            "checkpoint_minutes": 0.0,
            "deterministic": False,
            "strategy": "one",
        }
        return FitConfig(**{**few, **settings})

    return make


@pytest.fixture(scope="session")
def loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="session")
def linear() -> Callable[[], keras.Model]:
    """Makes the smallest network there is."""

    def make() -> keras.Model:
        layers = [keras.layers.Flatten(), keras.layers.Dense(10, name="logits")]
        return keras.Sequential([keras.Input((8, 8, 1)), *layers])

    return make


@pytest.fixture(scope="session")
def network() -> Callable[[], keras.Model]:
    """Makes one with all that has a state: batch normalisation and dropout."""
    return lambda: _network(looks=False)


@pytest.fixture(scope="session")
def looking_network() -> Callable[[], keras.Model]:
    """Makes the same with a transformer in front."""
    return lambda: _network(looks=True)


def _network(*, looks: bool) -> keras.Model:
    x = images = keras.Input((8, 8, 1))
    if looks:
        layers = [keras.layers.Flatten(), keras.layers.Dense(8)]
        localisation = keras.Sequential(layers, name="localisation")
        x = SpatialTransformer(localisation, "affine", (8, 8), name="look")(x)
    x = keras.layers.Conv2D(6, 3, use_bias=False, name="conv")(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name="norm")(x)
    x = keras.layers.Flatten()(keras.layers.ReLU()(x))
    x = keras.layers.Dropout(0.2)(x)
    return keras.Model(images, keras.layers.Dense(10, name="logits")(x))


@pytest.fixture(scope="session")
def run_script(root: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python in a process of its own, as what cannot be undone must be."""

    def run(script: str, *arguments: object, check: bool = True, **environment: str):
        done = subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root), **environment},
            text=True,
            timeout=240,
            capture_output=True,
        )
        assert not check or done.returncode == 0, done.stderr[-3000:]
        return done

    return run
