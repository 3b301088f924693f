"""What does a folder of 100,000 images cost, before the first step and in memory?

Generates two folders of JPEG files, lists and splits them and decodes training batches, each folder
in a process of its own. What counts: seconds until the first batch, and how much more memory the
large folder takes than the small one.
"""

import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
SIDE, BATCH, BATCHES, CLASSES = 64, 32, 50, 20


def generate(root: Path, count: int) -> Path:
    """Writes `count` JPEG files, all different by their noise, in class folders."""
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        (root / f"class-{label:02}").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.full((SIDE, SIDE, 3), rng.integers(0, 256, 3), np.uint8)
        pixels[rng.integers(SIDE) :, : rng.integers(1, SIDE)] = rng.integers(0, 256, 3)
        folder = root / f"class-{number % CLASSES:02}"
        Image.fromarray(pixels).save(folder / f"photograph-{number:06}.jpg", quality=80)
    return root


def measure(root: Path, cache: str) -> dict[str, float]:
    """Times a folder in this process, and tells the most memory that it took."""
    import tensorflow as tf

    from stn_tf.data import DecodedImages, TrainingImages, load_collection
    from stn_tf.interface import InputSpec

    tf.zeros(1) + 1
    before = _most_memory()
    started = time.perf_counter()
    spec = InputSpec(
        name="images",
        dtype="float32",
        shape=(None, SIDE, SIDE, 3),
        layout="NHWC",
        color_space="rgb",
        value_range=(0.0, 1.0),
    )
    collection = load_collection(root)
    listed = time.perf_counter() - started
    images = DecodedImages(collection.train, spec, cache=cache)
    training = TrainingImages(images, collection.train.labels, collection.classes, batch_size=BATCH)
    batches = iter(training.batches())
    next(batches)
    first = time.perf_counter() - started
    for _ in range(BATCHES):
        next(batches)
    return {
        "images": len(collection.everything),
        "listed_seconds": round(listed, 2),
        "first_batch_seconds": round(first, 2),
        "memory_megabytes": round(_most_memory(), 1),
        "memory_above_start_megabytes": round(_most_memory() - before, 1),
    }


def _most_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@click.command()
@click.option("--large", default=100_000, show_default=True, help="Images of the large folder.")
@click.option("--small", default=1000, show_default=True, help="Images of the small folder.")
@click.option("--cache", default="auto", show_default=True, help="auto, memory or none.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where files are kept for again.")
@click.option("--only", type=click.Path(path_type=Path), hidden=True)
def main(large: int, small: int, cache: str, folder: Path | None, only: Path | None) -> None:
    if only is not None:
        click.echo(json.dumps(measure(only, cache)))
        return
    console = Console()
    with tempfile.TemporaryDirectory() as temporary:
        rows = []
        for count in (small, large):
            root = (folder or Path(temporary)) / str(count)
            if not root.is_dir():
                with console.status(f"Generating {count:,} JPEG files"):
                    generate(root, count)
            done = subprocess.run(
                [sys.executable, __file__, "--only", str(root), "--cache", cache],
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            rows.append(json.loads(done.stdout))
    table = Table("images", title=f"JPEG files of {SIDE} x {SIDE} pixels, {BATCHES} batches")
    for heading in ("listed, s", "first batch, s", "memory, MB"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            f"{row['images']:,}",
            f"{row['listed_seconds']:.1f}",
            f"{row['first_batch_seconds']:.1f}",
            f"{row['memory_megabytes']:.0f}",
        )
    console.print(table)
    above = rows[1]["memory_megabytes"] - rows[0]["memory_megabytes"]
    console.print(f"{above:.0f} MB more for the large folder")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "large_folder.json").write_text(
        json.dumps(
            {"machine": platform.machine(), "python": platform.python_version(), "cache": cache,
             "rows": rows},
            indent=2,
        )
        + "\n"
    )  # fmt: skip


if __name__ == "__main__":
    main()
