"""What do several samples a pixel cost?

    .venv/bin/python benchmarks/antialias.py

Warps by affine maps that shrink about twice, with 1, 2 and 4 samples along each axis, with either
sampler in a graph, forward and with the gradient of theta. All are timed in turns; the figures are
medians, and multiples of one sample's.
"""

import json
from pathlib import Path
from typing import Any

import click
from inference import Call, timed
from sampler import RESULTS, machine

# Images, and the height and width of the output.
CASES = {"64x60x60x1": 28, "16x448x448x3": 224}
SAMPLES = (1, 2, 4)
SAMPLERS = {"native": True, "portable": False}
MODES = ("forward", "gradient of theta")


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "antialias.json")
def main(rounds: int, output: Path) -> None:
    """Time the warps and write JSON."""
    rows: list[dict[str, Any]] = []
    for shape, length in CASES.items():
        for mode in MODES:
            for sampler, native in SAMPLERS.items():
                calls = {
                    str(samples): warp(shape, length, mode, native, samples) for samples in SAMPLES
                }
                times = timed(calls, rounds)
                rows.append(
                    {"images": shape, "mode": mode, "sampler": sampler, "milliseconds": times}
                )
                parts = [f"{s}: {t:9.2f} ms ({t / times['1']:5.2f} x)" for s, t in times.items()]
                what = f"{shape} to {length}x{length}, {mode}, {sampler}"
                print(f"{what:<58}{'  '.join(parts)}", flush=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def warp(shape: str, length: int, mode: str, native: bool, samples: int) -> Call:
    """A call of one of them, the same images and maps each time."""
    import numpy as np
    import tensorflow as tf

    import stn_tf

    sizes = [int(size) for size in shape.split("x")]
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=sizes), tf.float32)
    theta = tf.constant(np.eye(2, 3) + rng.normal(0, 0.1, (sizes[0], 2, 3)), tf.float32)

    def show(theta: tf.Tensor) -> tf.Tensor:
        with stn_tf.native_sampler(native):
            return stn_tf.warp(images, theta, (length, length), antialias=samples)

    @tf.function(autograph=False)
    def run(theta: tf.Tensor) -> tf.Tensor:
        if mode == "forward":
            return show(theta)
        with tf.GradientTape() as tape:
            tape.watch(theta)
            shown = show(theta)
        return tape.gradient(shown, theta, tf.ones_like(shown))

    return lambda: run(theta)


if __name__ == "__main__":
    main()
