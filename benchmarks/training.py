"""Do training steps wait for their data?

    .venv/bin/python benchmarks/training.py [--data-dir MNIST] [--steps 60]

Each shipped experiment is trained for some steps with `stn-tf train`'s own loop, and so is a
network for photographs on JPEG files of 448 x 448 pixels, decoded anew each time (nothing is kept
in memory). What counts is the share of the time in which the loop waited for a batch, which should
be under 5 %: the processor's cores are shared by training and its data.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from sampler import RESULTS, machine

JPEG_SIDE, JPEGS, CLASSES = 448, 96, 4


def photographs(folder: Path) -> Path:
    """Writes JPEG files cut from the two photographs that come with scikit-learn."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    for number in range(JPEGS):
        photo = load_sample_images().images[number % 2]
        scale = JPEG_SIDE * rng.uniform(1.05, 1.5) / min(photo.shape[:2])
        size = round(photo.shape[1] * scale), round(photo.shape[0] * scale)
        left, top = (int(rng.integers(0, extent - JPEG_SIDE + 1)) for extent in size)
        path = folder / str(number % CLASSES) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        box = (left, top, left + JPEG_SIDE, top + JPEG_SIDE)
        Image.fromarray(photo).resize(size).crop(box).save(path, quality=90)
    return folder


def measured(name: str, settings: list[str], steps: int, folder: Path) -> dict[str, Any]:
    """Trains for some steps; returns what the report says of speed."""
    from stn_tf.experiments import load_experiment, train

    config = load_experiment(
        name, [*settings, f"steps={steps}", f"evaluate_every={steps}", "checkpoint_minutes=0"]
    )
    report = train(config, folder, progress=False)
    return {"images_per_second": report.images_per_second, "input_wait": report.input_wait}


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="MNIST's four files.")
@click.option("--steps", default=60, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "training.json")
def main(data_dir: Path | None, steps: int, output: Path) -> None:
    """Measure the wait of every experiment and write JSON."""
    from stn_tf.experiments import EXPERIMENTS

    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for name in EXPERIMENTS:
            if name == "folder" or (name.startswith("mnist") and data_dir is None):
                continue
            own = [f'data_dir="{data_dir}"'] if name.startswith("mnist") else []
            # What the loss is taught first is another training.
            own += ["encoder_steps=20"] if "colocalisation" in name else []
            rows[name] = measured(name, own, steps, place / name)
        jpegs = photographs(place / "jpegs")
        own = [f'data_dir="{jpegs}"', f"image_size={JPEG_SIDE}", "cache=none", "batch_size=8"]
        rows[f"folder, {JPEG_SIDE} px JPEG, from disk"] = measured(
            "folder", [*own, "backbone=small"], min(steps, 30), place / "photographs"
        )
    table = Table("experiment", title=f"{os.cpu_count()} cores")
    for heading in ("images/s", "input wait, %"):
        table.add_column(heading, justify="right")
    for name, row in rows.items():
        table.add_row(name, f"{row['images_per_second']:,.0f}", f"{100 * row['input_wait']:.1f}")
    Console().print(table)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"machine": machine(), "experiments": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
