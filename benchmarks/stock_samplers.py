"""Up to how many channels is ImageProjectiveTransform faster than gathers, in a SavedModel?

    .venv/bin/python benchmarks/stock_samplers.py

Both sample 8 images of 128 x 128, affine, in turns; the figures are medians. The exporter's
threshold, in export/tensorflow/stock_samplers.py, comes from here.
"""

import json
from pathlib import Path
from typing import Any

import click
from inference import timed
from sampler import RESULTS, machine

CHANNELS = (1, 2, 3, 4, 6, 8, 16)


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "stock_samplers.json")
def main(rounds: int, output: Path) -> None:
    """Time the operations and write JSON."""
    import numpy as np
    import tensorflow as tf

    import stn_tf
    from stn_tf.export.tensorflow import stock_samplers

    rows: list[dict[str, Any]] = []
    rng = np.random.default_rng(0)
    theta = np.array([[[0.9, 0.2, 0.1], [-0.2, 0.9, -0.1]]] * 8, np.float32)

    @tf.function(autograph=False)
    def gathers(images: tf.Tensor, theta: tf.Tensor) -> tf.Tensor:
        with stn_tf.native_sampler(False):
            return stn_tf.warp(images, theta, (128, 128))

    @tf.function(autograph=False)
    def projective(images: tf.Tensor, theta: tf.Tensor) -> tf.Tensor:
        return stock_samplers.projective_transform(images, theta, (128, 128), False)

    for channels in CHANNELS:
        images = tf.constant(rng.uniform(size=(8, 128, 128, channels)), tf.float32)
        calls = {
            "gathers": lambda images=images: gathers(images, theta),
            "projective": lambda images=images: projective(images, theta),
        }
        rows.append({"channels": channels, "milliseconds": timed(calls, rounds)})
        found = rows[-1]["milliseconds"]
        ratio = found["gathers"] / found["projective"]
        times = f"{found['gathers']:7.2f} and {found['projective']:7.2f} ms"
        print(f"{channels:3} channels: {times}, {ratio:.2f} x")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
