"""What the files are compared on: real images, and inputs that break samplers."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.geometry import affine_grid

# One image, a pair, and an odd number that no vector width divides.
BATCHES = (1, 2, 7)
# So many real images make up the three batches.
REAL_IMAGES = sum(BATCHES)


Feeds = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Case:
    """A named batch of inputs.

    Attributes:
        real: Whether it is what the model was trained for; its tolerance is absolute.
    """

    name: str
    feeds: Feeds
    real: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.feeds.values())))


def real_cases(feeds: Feeds, kind: str = "real images") -> list[Case]:
    """Splits `REAL_IMAGES` examples, of a kind (`real images`), into batches of 1, 2 and 7."""
    ends = np.cumsum(BATCHES)
    return [
        Case(
            f"{kind}, batch {size}",
            {name: values[end - size : end] for name, values in feeds.items()},
            real=True,
        )
        for size, end in zip(BATCHES, ends, strict=True)
    ]


def made_up(inputs: Mapping[str, tf.TensorSpec]) -> dict[str, np.ndarray]:
    """Returns examples for inputs of which nothing is known but shapes and types.

    Raises:
        ExportError: If an input holds text or has an unknown shape.
    """
    rng = np.random.default_rng(3)
    feeds = {}
    for name, spec in inputs.items():
        shape = (REAL_IMAGES, *spec.shape[1:])
        if spec.dtype == tf.string or None in shape:
            raise ExportError(
                f"The input `{name}` must have numbers and a known shape but for the batch, but it "
                f"is {spec.dtype.name} {list(spec.shape)}. Give examples of it."
            )
        dtype = spec.dtype.as_numpy_dtype
        if _is_images(shape, dtype) and len(shape) == 4:
            # Smooth, as photographs are: noise is among the adversarial images.
            coarse = rng.uniform(size=(REAL_IMAGES, 6, 6, shape[-1])).astype(np.float32)
            smooth = tf.image.resize(coarse, shape[1:3], method="bilinear").numpy()
            feeds[name] = smooth.astype(dtype)
        elif np.issubdtype(dtype, np.floating):
            feeds[name] = rng.uniform(size=shape).astype(dtype)
        else:
            feeds[name] = rng.integers(0, 2, shape).astype(dtype)
    return feeds


def adversarial_case(feeds: Feeds) -> Case:
    """Images in 0..1 at the edge of what the model can be given, as one batch of 7.

    Black, white, noise, single pixels (the highest frequency), one lit corner, and a real image
    pushed half out of the picture and upside down. Inputs that are no images stay as they are.
    """
    hard = {
        name: _hard(values) if _is_images(values.shape, values.dtype) else values[:7]
        for name, values in feeds.items()
    }
    return Case("adversarial images, batch 7", hard)


def _is_images(shape: Sequence[int], dtype: npt.DTypeLike) -> bool:
    return len(shape) in (4, 5) and np.issubdtype(dtype, np.floating)


def _hard(images: np.ndarray) -> np.ndarray:
    height, width = images.shape[1:3]
    shape = images.shape[1:]
    rng = np.random.default_rng(0)
    places = np.indices(shape)[:-1]  # All but the channel.
    corner = np.zeros(shape)
    corner[(0,) * (len(shape) - 1)] = 1.0
    pushed = np.zeros(shape)
    pushed[: height - height // 2, : width - width // 2] = images[0, height // 2 :, width // 2 :]
    hard: list[np.ndarray] = [
        np.zeros(shape),
        np.ones(shape),
        rng.uniform(size=shape),
        np.asarray(places.sum(axis=0) % 2.0),
        corner,
        pushed,
        images[0, ::-1, ::-1],
    ]
    return np.stack(hard).astype(images.dtype)


def sampler_cases(kernel: str, padding: str, align_corners: bool) -> dict[str, np.ndarray]:
    """Returns grids `[1, h, w, 2]` by name, for a 4 x 8 image.

    Powers of two, so that half a pixel is exact in every arithmetic and ties round alike.
    """
    height, width = 4, 8
    dx, dy = (2 / (width - 1), 2 / (height - 1)) if align_corners else (2 / width, 2 / height)
    cosine, sine = np.cos(np.radians(140.0)), np.sin(np.radians(140.0))
    thetas = {
        "identity": [[1, 0, 0], [0, 1, 0]],
        "half-pixel shift": [[1, 0, dx / 2], [0, 1, -dy / 2]],
        "whole-pixel shift": [[1, 0, -dx], [0, 1, dy]],
        "rotation by 140 degrees": [[3 * cosine, -3 * sine, 0.1], [3 * sine, 3 * cosine, -0.2]],
    }
    grids = {
        name: affine_grid(
            tf.constant([theta], tf.float32), (height, width), align_corners=align_corners
        ).numpy()
        for name, theta in thetas.items()
    }
    one = np.nextafter(np.float32(1), np.float32(2))
    edges = np.array([-one, -1.0, 1.0, one, -1 - dx / 2, 1 + dx / 2, -1 - dx, 1 + dx])
    grids["exact border"] = _product(edges)
    grids["far outside"] = _product(np.array([-7.3, -2.6, 0.1, 3.3, 9.7]))
    if padding != "reflection":
        # Mirrors have no outside: a reflected infinity is some pixel, and any will do.
        grids["NaN, infinity and huge"] = _product(
            np.array([np.nan, np.inf, -np.inf, 1e9, -1e20, 3e38, 0.25])
        )
    if kernel == "nearest" and align_corners:
        del grids["half-pixel shift"]  # Sevenths are not exact: a tie may round either way.
    return grids


def sampler_images(height: int = 4, width: int = 8) -> np.ndarray:
    """Returns an image `[1, 4, 8, 2]` without two equal pixels."""
    return np.random.default_rng(1).uniform(size=(1, height, width, 2)).astype(np.float32)


def _product(points: np.ndarray) -> np.ndarray:
    """All pairs (x, y) of the points, `[1, n, n, 2]` float32."""
    return np.stack(np.meshgrid(points, points), axis=-1).astype(np.float32)[np.newaxis]
