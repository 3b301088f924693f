"""Arrays of images in `.npy` and `.npz` files, checked before anything is computed."""

import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from stn_tf.errors import DataError, InputError

ARRAY_SUFFIXES = (".npy", ".npz")
_IMAGE_NAMES = ("images", "x")
_LABEL_NAMES = ("labels", "y")
# What NumPy and zipfile raise for files that are cut off, damaged, encrypted or something else.
_UNREADABLE = (
    ValueError,
    OSError,
    EOFError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
Shape = tuple[int, ...]


@dataclass(frozen=True)
class ArrayFile:
    """An array file whose header fits the model; its values are read when they are needed.

    Attributes:
        path: The file.
        array: Name of the array inside an `.npz`, None for `.npy`.
        images: Number of images.
        single: Whether the file holds one image without a batch axis.
        labels: Index of the true class of each image, None when the file has no labels.
    """

    path: Path
    array: str | None
    images: int
    single: bool
    labels: np.ndarray | None

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Yields float32 images `[n, height, width]` or `[n, height, width, channels]` in 0..1.

        Raises:
            InputError: If floats leave 0..1.
            DataError: If the file's values cannot be read.
        """
        try:
            if self.array is None:
                values = np.load(self.path, mmap_mode="r", allow_pickle=False)
            else:
                with np.load(self.path, allow_pickle=False) as archive:
                    values = archive[self.array]
        except _UNREADABLE as error:
            raise DataError(f"`{self.path}` cannot be read: {_one_line(error)}") from error
        if self.single:
            values = values[None]
        for start in range(0, len(values), size):
            yield self._unit_range(values[start : start + size])

    def _unit_range(self, values: np.ndarray) -> np.ndarray:
        if values.dtype == np.uint8:
            return values.astype(np.float32) / np.float32(255)
        values = values.astype(np.float32)
        # Negated, so that NaN fails too.
        if not ((values >= 0) & (values <= 1)).all():
            raise InputError(
                f"`{self.path}` must hold floats in 0..1 (or uint8 in 0..255), "
                f"but its {_values_seen(values)}. Scale the images as in training."
            )
        return values


def open_array(path: Path, image_shape: Shape, classes: Sequence[str]) -> ArrayFile:
    """Reads the header of an `.npy` or `.npz` file and holds it against the model.

    Of an `.npz` the array `images`, else `x`, else the only one that can be images is taken, and
    `labels` or `y`, class indices or names, are the true classes.

    Args:
        path: The file.
        image_shape: Height, width and channels that the model reads.
        classes: The model's classes.

    Raises:
        InputError: If dtype or shape do not fit the model.
        DataError: If the file is not what its name says.
    """
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                headers: dict[str | None, tuple[Shape, np.dtype]] = {None: _header(file)}
            _check_length(path.stat().st_size, *headers[None])
            labels = None
        else:
            headers = {}
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    if member.filename.endswith(".npy"):
                        name = member.filename.removesuffix(".npy")
                        with archive.open(member) as file:
                            headers[name] = _header(file)
                        _check_length(member.file_size, *headers[name])
            labels = _labels(path, headers)
    except _UNREADABLE as error:
        raise DataError(f"`{path}` cannot be read: {_one_line(error)}") from error
    chosen = _image_array(path, headers)
    shape, dtype = headers[chosen]
    what = f"`{path}`" if chosen is None else f"Array `{chosen}` of `{path}`"
    if dtype != np.uint8 and dtype.kind != "f":
        raise InputError(
            f"{what} must hold uint8 in 0..255 or floats in 0..1, but its dtype is {dtype}. "
            "Convert it with `array.astype('uint8')`."
        )
    single, images = _fit(what, shape, image_shape)
    if labels is not None:
        labels = _class_indices(path, labels, images, classes)
    return ArrayFile(path, chosen, images, single, labels)


def _header(file: IO[bytes]) -> tuple[Shape, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    else:  # 3.0 is written only for structured arrays, which are no images.
        raise ValueError(f"it is an array file of version {version}, which holds no plain array.")
    return shape, dtype


def _check_length(size: int, shape: Shape, dtype: np.dtype) -> None:
    needed = math.prod(shape) * dtype.itemsize
    # Objects have no size of their own; their dtype is refused later, with its cure.
    if size < needed and not dtype.hasobject:
        raise ValueError(f"it is cut off: {size} bytes of more than {needed}.")


def _image_array(path: Path, headers: dict[str | None, tuple[Shape, np.dtype]]) -> str | None:
    if None in headers:
        return None
    for name in _IMAGE_NAMES:
        if name in headers:
            return name
    fitting = [
        name
        for name, (shape, dtype) in headers.items()
        if len(shape) >= 2 and (dtype == np.uint8 or dtype.kind == "f")
    ]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(sorted(str(name) for name in headers)) or "none"
    raise InputError(
        f"`{path}` must hold its images as `images` or `x`, or one array of images only, "
        f"but its arrays are {names}. Save it with `numpy.savez(file, images=...)`."
    )


def _fit(what: str, shape: Shape, image_shape: Shape) -> tuple[bool, int]:
    height, width, channels = image_shape
    single = [image_shape, image_shape[:2]] if channels == 1 else [image_shape]
    if shape in single:
        return True, 1
    if len(shape) >= 1 and shape[1:] in single:
        if shape[0] == 0:
            raise InputError(f"{what} must hold at least one image, but its shape is [0, ...].")
        return False, shape[0]
    form = f"[N, {height}, {width}, {channels}]" + (
        f" or [N, {height}, {width}]" if channels == 1 else ""
    )
    raise InputError(
        f"{what} must have shape {form}, as the model reads it, but it has shape {list(shape)}. "
        "Arrays are taken as they are; image files are resized."
    )


def _labels(path: Path, headers: dict[str | None, tuple[Shape, np.dtype]]) -> np.ndarray | None:
    for name in _LABEL_NAMES:
        if name in headers:
            with np.load(path, allow_pickle=False) as archive:
                labels: np.ndarray = archive[name]
            return labels
    return None


def _class_indices(
    path: Path, labels: np.ndarray, images: int, classes: Sequence[str]
) -> np.ndarray:
    if labels.ndim == 0:
        labels = labels[None]
    if labels.shape != (images,):
        raise InputError(
            f"`{path}` must hold one label per image, [{images}], "
            f"but its labels have shape {list(labels.shape)}."
        )
    if labels.dtype.kind == "U":
        known = {name: index for index, name in enumerate(classes)}
        unknown = sorted({str(label) for label in labels} - known.keys())
        if unknown:
            raise InputError(
                f"`{path}` must hold labels that are classes of the model, "
                f"but {unknown[0]!r} is none of {', '.join(classes)}."
            )
        return np.array([known[str(label)] for label in labels], np.int64)
    if labels.dtype.kind not in "iu" or (
        len(labels) and not (labels.min() >= 0 and labels.max() < len(classes))
    ):
        raise InputError(
            f"`{path}` must hold labels that are class indices 0..{len(classes) - 1} or class "
            f"names, but they are {_labels_seen(labels)}."
        )
    return labels.astype(np.int64)


def _labels_seen(labels: np.ndarray) -> str:
    if labels.dtype.kind in "iuf":
        return f"{labels.dtype} from {labels.min():g} to {labels.max():g}"
    return str(labels.dtype)


def _values_seen(values: np.ndarray) -> str:
    if np.isnan(values).any():
        return "values include NaN"
    return f"values go from {values.min():g} to {values.max():g}"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith(".") else f"{text}."
