"""Small folders of images for tests."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from stn_tf.interface import InputSpec


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (12, 16)) -> None:
    """Writes an image of coarse noise, of `size` (height, width)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize((size[1], size[0])).save(path)


def write_tree(root: Path, counts: Mapping[str, int], suffix: str = ".png") -> Path:
    """Writes so many images, all different, into each of some folders."""
    seed = 0
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            write_image(root / folder / f"{number}{suffix}", seed)
            seed += 1
    return root


def input_spec(height: int = 8, width: int = 8, channels: int = 3, **fields) -> InputSpec:
    return InputSpec(
        **{
            "name": "images",
            "dtype": "float32",
            "shape": (None, height, width, channels),
            "layout": "NHWC",
            "color_space": "rgb" if channels == 3 else "grayscale",
            "value_range": (0.0, 1.0),
        }
        | fields
    )
