"""What does training on a folder of 100,000 images cost, before the first step and in memory?

Generates two folders of JPEG files, and runs `stn-tf train folder` on each, in a process of its
own. What counts: seconds from the command to its first step, listing and splitting the files
included, and how much more memory the large folder takes than the small one, evaluation of the
images that are set aside included.
"""

import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
SIDE, CLASSES = 64, 20
SETTINGS = (
    "backbone=small",
    "steps=50",
    "log_every=1",
    "validation_share=0.02",  # The network itself needs minutes for ten thousands of images.
    "test_share=0.02",
)


def generate(root: Path, count: int) -> Path:
    """Writes `count` JPEG files of two colours each, in class folders."""
    rng = np.random.default_rng(0)
    for label in range(CLASSES):
        (root / f"class-{label:02}").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.full((SIDE, SIDE, 3), rng.integers(0, 256, 3), np.uint8)
        pixels[rng.integers(SIDE) :, : rng.integers(1, SIDE)] = rng.integers(0, 256, 3)
        folder = root / f"class-{number % CLASSES:02}"
        Image.fromarray(pixels).save(folder / f"photograph-{number:06}.jpg", quality=80)
    return root


def measure(root: Path, settings: tuple[str, ...]) -> dict[str, Any]:
    """Trains on a folder; this process must have had no other child."""
    command = [sys.executable, "-m", "stn_tf.cli.main", "train", "folder", "--data-dir", str(root)]
    started, first = time.perf_counter(), None
    with tempfile.TemporaryDirectory() as out:
        command += ["--out", f"{out}/run"]
        for setting in (*SETTINGS, *settings):
            command += ["--set", setting]
        training = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert training.stdout is not None
        lines = []
        for line in training.stdout:
            lines.append(line)
            if first is None and line.startswith("step 1/"):
                first = time.perf_counter() - started
        if training.wait() or first is None:
            raise click.ClickException("".join(lines[-20:]))
    return {
        "first_step_seconds": round(first, 1),
        "seconds": round(time.perf_counter() - started, 1),
        "memory_megabytes": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
    }


@click.command()
@click.option("--large", default=100_000, show_default=True, help="Images of the large folder.")
@click.option("--small", default=1000, show_default=True, help="Images of the small folder.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where files are kept for again.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As for stn-tf train.")
@click.option("--only", type=click.Path(path_type=Path), hidden=True)
def main(
    large: int, small: int, folder: Path | None, settings: tuple[str, ...], only: Path | None
) -> None:
    if only is not None:
        click.echo(json.dumps(measure(only, settings)))
        return
    console = Console()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for count in (small, large):
            root = (folder or Path(temporary)) / str(count)
            if not root.is_dir():
                with console.status(f"Generating {count:,} JPEG files"):
                    generate(root, count)
            command = [sys.executable, __file__, "--only", str(root)]
            for setting in settings:
                command += ["--set", setting]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            rows.append({"images": count, **json.loads(done.stdout)})
    table = Table("images", title=f"JPEG files of {SIDE} x {SIDE} pixels")
    for heading in ("first step, s", "all, s", "memory, MB"):
        table.add_column(heading, justify="right")
    for row in rows:
        numbers = (row["first_step_seconds"], row["seconds"], row["memory_megabytes"])
        table.add_row(f"{row['images']:,}", *map(str, numbers))
    console.print(table)
    above = rows[1]["memory_megabytes"] - rows[0]["memory_megabytes"]
    console.print(f"{above} MB more for the large folder")
    RESULTS.mkdir(exist_ok=True)
    found = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "settings": [*SETTINGS, *settings],
        "rows": rows,
    }
    (RESULTS / "large_folder.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
