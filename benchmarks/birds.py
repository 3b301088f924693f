"""Writes the ten bird classes as people have their own images, as they are and turned.

    .venv/bin/python benchmarks/birds.py CUB_200_2011 OUT

`OUT/upright` holds `train/` and `test/` by the official split, the files unchanged. `OUT/turned`
holds the same birds on black canvases of 448 x 448 pixels: each photograph is brought to 224 pixels
at its longer side, turned by an angle out of -180..180 degrees, and put anywhere. Angle and place
come from the name of the file alone.

The figures of README are those of `stn-tf train folder --data-dir OUT/...` and the settings named
there.
"""

import shutil
import zlib
from pathlib import Path

import click
import numpy as np
from PIL import Image

CANVAS, LONGER = 448, 224


def turned(photograph: Image.Image, name: str) -> Image.Image:
    """Returns the canvas of a file of that name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    scale = LONGER / max(photograph.size)
    size = round(photograph.width * scale), round(photograph.height * scale)
    bird = photograph.convert("RGB").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    bird = bird.rotate(rng.uniform(-180, 180), Image.Resampling.BICUBIC, expand=True)
    place = [int(rng.integers(0, CANVAS - side + 1)) for side in bird.size]
    canvas = Image.new("RGB", (CANVAS, CANVAS))
    canvas.paste(bird, (place[0], place[1]), bird)
    return canvas


def rows(path: Path) -> dict[str, str]:
    """Returns what a list of CUB says of each number."""
    return dict(line.split() for line in path.read_text().splitlines())


@click.command()
@click.argument("cub", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def main(cub: Path, out: Path) -> None:
    """Write OUT/upright and OUT/turned."""
    for_training = rows(cub / "train_test_split.txt")
    for number, name in rows(cub / "images.txt").items():
        part = "train" if for_training[number] == "1" else "test"
        for kind in ("upright", "turned"):
            path = out / kind / part / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "upright":
                shutil.copy(cub / "images" / name, path)
            else:
                with Image.open(cub / "images" / name) as photograph:
                    turned(photograph, path.name).save(path, quality=92)


if __name__ == "__main__":
    main()
