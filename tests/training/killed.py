"""Trains in processes that are killed again and again, until one comes to the end.

    python tests/training/killed.py OUT SEED KILLS

TensorFlow is imported once, and each process is a fork from before it has computed anything.
Prints where each was killed.
"""

import os
import pathlib
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import keras
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parent))
from conftest import Digits

from stn_tf.training import FitConfig, fit

# Everything that changes files on the way to a checkpoint.
OPERATIONS = (
    (os, "fsync"),
    (pathlib.Path, "rename"),
    (pathlib.Path, "replace"),
    (pathlib.Path, "mkdir"),
    (shutil, "rmtree"),
    (tf.raw_ops, "SaveV2"),
)
STEPS = 12


def model() -> keras.Model:
    x = images = keras.Input((8, 8, 1))
    x = keras.layers.BatchNormalization(momentum=0.9)(keras.layers.Flatten()(x))
    return keras.Model(images, keras.layers.Dense(10)(keras.layers.Dropout(0.3)(x)))


def train(out: Path) -> None:
    digits = Digits()
    fit(
        model,
        digits.dataset(),
        digits.validation,
        FitConfig(
            steps=STEPS,
            learning_rate=0.01,
            ema=0.5,
            log_every=1,
            evaluate_every=4,
            checkpoint_every=1,
            keep_checkpoints=2,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        out=out,
        resume=True,
        progress=False,
    )


def die_at(count: int, afterwards: bool) -> None:
    """Has this process killed at the count-th operation on files, before or after it."""
    left = count

    def watched(operation, name):
        def call(*args, **options):
            nonlocal left
            left -= 1
            if left == 0 and not afterwards:
                die(name)
            result = operation(*args, **options)
            if left == 0:
                die(name)
            return result

        return call

    for owner, name in OPERATIONS:
        setattr(owner, name, watched(getattr(owner, name), name))


def die(name: str) -> None:
    print(name, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    out, seed, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    for number in range(kills + 1):
        seconds = None
        child = os.fork()
        if child == 0:
            if number < kills and number % 3 != 2:
                die_at(number % 7 + chance.randrange(1, 18), chance.random() < 0.5)
            train(out)
            os._exit(0)
        if number < kills and number % 3 == 2:
            # At any moment, whatever it is doing.
            seconds = chance.uniform(0.5, 2.0)
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            print(f"killed {number} {seconds or ''}", flush=True)
        else:
            assert status == 0, status
            print(f"ended {number}", flush=True)


if __name__ == "__main__":
    main()
