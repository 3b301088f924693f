"""Does the generator of distorted images outpace training?

For each distortion, the images per second that the generator gives and those that a training step
of its ST-CNN consumes (batches of 256, the same cores), in turns; the median of each, and the
ratio, which should be at least 3.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import keras
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from stn_tf.paper import DISTORTIONS, canvas_size, load_source, training_dataset
from stn_tf.paper import build_network

BATCH = 256
RESULTS = Path(__file__).parent / "results"


def training_step(
    distortion: str, canvas: tuple[int, int]
) -> Callable[[tf.Tensor, tf.Tensor], None]:
    model = build_network("st-cnn-affine", (*canvas, 1), pool_crops=distortion in ("rts", "tc"))
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels, model(images, training=True)
            )
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    return lambda images, labels: step(images, labels).numpy()


def seconds(function: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        function()
    return (time.perf_counter() - start) / times


def processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="MNIST; default: the digits.")
@click.option("--rounds", default=7, show_default=True, help="Turns of each contender.")
def main(data_dir: Path | None, rounds: int) -> None:
    source = load_source("digits" if data_dir is None else "mnist", data_dir)
    table = Table("distortion", title=f"Images per second, {os.cpu_count()} cores, batches of 256")
    for heading in ("generator", "training step", "ratio"):
        table.add_column(heading, justify="right")
    rows = {}
    for distortion in DISTORTIONS:
        canvas = canvas_size(distortion, source.train.images.shape[1:3])
        step = training_step(distortion, canvas)
        generator, steps = [], []
        images, labels = next(
            iter(training_dataset(source.train, distortion, batch_size=BATCH, seed=0))
        )
        step(images, labels)
        for turn in range(rounds):
            # A new iterator each turn, so that nothing was prefetched during the other's turn.
            batches = iter(
                training_dataset(source.train, distortion, batch_size=BATCH, seed=turn, steps=25)
            )
            next(batches)
            generator.append(BATCH / seconds(lambda: next(batches), 24))  # noqa: B023
            steps.append(BATCH / seconds(lambda: step(images, labels), 3))  # noqa: B023
        row = {
            "generator": statistics.median(generator),
            "training_step": statistics.median(steps),
            "ratio": statistics.median(g / s for g, s in zip(generator, steps, strict=True)),
        }
        rows[distortion] = {name: round(value, 2) for name, value in row.items()}
        table.add_row(
            distortion,
            f"{row['generator']:,.0f}",
            f"{row['training_step']:,.0f}",
            f"{row['ratio']:.1f}",
        )
    Console().print(table)
    RESULTS.mkdir(exist_ok=True)
    result = {
        "command": "benchmarks/data_pipeline.py",
        "source": "digits" if data_dir is None else "mnist",
        "cores": os.cpu_count(),
        "machine": processor(),
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "images_per_second": rows,
    }
    (RESULTS / "data_pipeline.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
