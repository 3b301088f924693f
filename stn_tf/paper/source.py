"""Sources: where examples come from."""

import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stn_tf.errors import ConfigError

SOURCES = ("digits", "mnist", "folder")


@dataclass(frozen=True, eq=False)
class Examples:
    """Images with their classes.

    Attributes:
        images: uint8 `[N, h, w, c]`.
        labels: int32 `[N]`, indices into the source's `classes`.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise ValueError(
                "`images` must be uint8 [N, h, w, c], but it is "
                f"{self.images.dtype} {list(self.images.shape)}."
            )
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != np.int32:
            raise ValueError(
                f"`labels` must be int32 [{len(self.images)}], one for each image, but it is "
                f"{self.labels.dtype} {list(self.labels.shape)}."
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, chosen: slice | np.ndarray) -> "Examples":
        return Examples(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True, eq=False)
class Source:
    """Examples to train on, to choose by and to report on, and the names of their classes.

    Attributes:
        notes: What was found and decided, a line each.
    """

    train: Examples
    validation: Examples
    test: Examples
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def load_source(
    name: str,
    data_dir: Path | None = None,
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> Source:
    """Reads a source into memory, split in the same way each time.

    - `digits`: 1,797 real handwritten digits that come with scikit-learn, 28x28, no `data_dir`.
    - `mnist`: the four idx files in `data_dir`, gzipped or not; without it, Keras's download.
    - `folder`: the images in `data_dir`, one sub-folder for each class; or such folders within
      `train/`, `test/` and, if there is one, `validation/`.

    Args:
        name: One of `SOURCES`.
        data_dir: The folder with the data.
        image_size: Height and width in pixels; `folder` fits its images into it. By default the
            size that the images have.
        channels: 1 (grey) or 3 (colour). By default what the images have.

    Raises:
        ConfigError: If there is no such source, or it cannot have one of the settings.
        DataError: If the data cannot be read; the text names the file, the cause and the cure.
    """
    if name not in SOURCES:
        raise ConfigError(f"`source` must be one of {', '.join(SOURCES)}, but it is {name!r}.")
    if channels not in (None, 1, 3):
        raise ConfigError(f"`channels` must be 1 (grey) or 3 (colour), but it is {channels!r}.")
    if image_size is not None and (len(image_size) != 2 or min(image_size) < 1):
        raise ConfigError(
            f"`image_size` must be (height, width) in pixels, but it is {image_size!r}."
        )
    load = importlib.import_module(f"stn_tf.paper.{name}").load
    if name == "folder":
        if data_dir is None:
            raise ConfigError(
                "`data_dir` must name the folder that holds one sub-folder of images for each "
                "class, but none was given. Add `--data-dir DIR`."
            )
        return load(Path(data_dir), image_size, channels)
    if name == "digits":
        if data_dir is not None:
            raise ConfigError(
                f"`data_dir` is {str(data_dir)!r}, but the source digits is embedded and reads no "
                "folder. Leave it out, or use the source mnist or folder."
            )
        source = load()
    else:
        source = load(None if data_dir is None else Path(data_dir))
    _check_fixed_format(name, source, image_size, channels)
    return source


def _check_fixed_format(
    name: str, source: Source, image_size: tuple[int, int] | None, channels: int | None
) -> None:
    size = source.train.images.shape[1:3]
    if image_size not in (None, size):
        raise ConfigError(
            f"`image_size` is {image_size}, but the images of {name} are {size}. Leave it out; "
            "only the source folder fits images into a size."
        )
    if channels == 3:
        raise ConfigError(f"`channels` is 3, but the images of {name} are grey. Leave it out.")
