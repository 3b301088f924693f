"""How long is a training step of `mnist-rts`, with either sampler and in PyTorch?

    .venv/bin/python benchmarks/training_step.py

One step is forward, backward and Adam on 256 images of 42 x 42. The PyTorch network has the same
layers with the same weights, and is run eagerly, with channels last, and compiled. Contenders are
timed in turns within one run; the figures are medians.
"""

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from sampler import RESULTS, machine

BATCH, SIDE, CLASSES, THREADS = 256, 42, 10, 2
REST_SECONDS, STEPS = 0.3, 6
Step = Callable[[], Any]


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "training_step.json")
def main(rounds: int, output: Path) -> None:
    """Time the steps and write JSON."""
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(BATCH, SIDE, SIDE, 1)).astype(np.float32)
    labels = rng.integers(0, CLASSES, BATCH).astype(np.int32)
    steps = {**ours(images, labels), **torchs(images, labels)}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            time.sleep(REST_SECONDS)
            step()
            for _ in range(STEPS):
                start = time.perf_counter()
                step()
                times[name].append((time.perf_counter() - start) * 1e3)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    for name, taken in sorted(medians.items(), key=lambda item: item[1]):
        print(f"{name:<24}{taken:8.1f} ms  {taken / medians['native']:5.2f} x native")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"machine": machine(), "milliseconds": medians}, indent=1) + "\n")


def configuration(xla: bool) -> Any:
    """The settings that `stn-tf train mnist-rts` has."""
    from stn_tf.experiments import load_experiment

    return load_experiment("mnist-rts", [f"xla={str(xla).lower()}", "deterministic=false"])


def trainer(config: Any, shape: tuple[int, ...]) -> Any:
    """What `fit` makes of the settings."""
    import keras
    import tensorflow as tf

    from stn_tf.training.error_percent import ErrorPercent
    from stn_tf.training.objective import Objective
    from stn_tf.training.optimizers import Updater
    from stn_tf.training.parts import rate_factors
    from stn_tf.training.step import Trainer

    model = keras_network(shape)
    objective = Objective(
        model, keras.losses.SparseCategoricalCrossentropy(from_logits=True), (ErrorPercent(),)
    )
    objective.build(tf.TensorSpec((None,), tf.int32), model.output)
    updater = Updater(config, model.trainable_variables, rate_factors(model, 1.0, {}))
    strategy = tf.distribute.get_strategy()
    return Trainer(config, model, objective, updater, strategy, equal_shares=True)


def ours(images: np.ndarray, labels: np.ndarray) -> dict[str, Step]:
    """Our training step with the native sampler, the portable one, and under XLA."""
    import tensorflow as tf

    from stn_tf.sampling.choice import VARIABLE

    if tf.config.threading.get_intra_op_parallelism_threads() != THREADS:
        tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    found: dict[str, Step] = {}
    for name, sampler, xla in (
        ("native", "native", False),
        ("portable", "portable", False),
        ("xla", "portable", True),
    ):
        os.environ[VARIABLE] = sampler
        made = trainer(configuration(xla), images.shape[1:])
        batch = [(tf.constant(images), tf.constant(labels))]
        # The first step traces, and the choice of the sampler is made then.
        made.step(batch)
        found[name] = lambda made=made, batch=batch: made.step(batch).numpy()
    del os.environ[VARIABLE]
    return found


def torchs(images: np.ndarray, labels: np.ndarray) -> dict[str, Step]:
    """The same network in PyTorch, where it is installed."""
    try:
        import torch
    except ImportError:
        return {}
    from training_step_torch import Network, same_as

    torch.set_num_threads(THREADS)
    keras_model = keras_network()
    target = torch.tensor(labels, dtype=torch.int64)
    first = torch.tensor(np.moveaxis(images, -1, 1).copy())
    found: dict[str, Step] = {}
    for name, layout, compiled in (
        ("torch", torch.contiguous_format, False),
        ("torch, channels last", torch.channels_last, False),
        ("torch, compiled", torch.contiguous_format, True),
    ):
        network = same_as(keras_model, Network.like(keras_model)).to(memory_format=layout)
        batch = first.to(memory_format=layout)
        with torch.no_grad():
            difference = np.abs(network(batch).numpy() - keras_model(images).numpy()).max()
        if difference > 1e-4:
            raise AssertionError(f"the networks differ by {difference}")
        optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
        call = torch.compile(network) if compiled else network

        def step(call: Any = call, batch: Any = batch, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(call(batch), target).backward()
            optimizer.step()

        found[name] = step
    return found


def keras_network(shape: tuple[int, ...] = (SIDE, SIDE, 1)) -> Any:
    """An untrained network of ours, moved off the identity so that its theta counts."""
    from stn_tf.paper import build_network

    model = build_network("st-cnn-affine", shape, CLASSES, pool_crops=True)
    rng = np.random.default_rng(1)
    for variable in model.get_layer("spatial_transformer").regression.trainable_variables:
        variable.assign_add(rng.normal(0, 0.05, variable.shape))
    return model


if __name__ == "__main__":
    main()
