"""Arrays of images in `.npy` and `.npz` files, checked before anything is computed."""

import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from stn_tf.errors import DataError, InputError
from stn_tf.interface import InputSpec, numpy_dtype, words
from stn_tf.serving.models.engine import can_cast

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
        spec: The model's input.
        pixels: Whether they are pixels of 0..255, channels last, and not yet what the model takes.
        channel: Where the axis of one channel is to be added; None where there is one.
    """

    path: Path
    array: str | None
    images: int
    single: bool
    labels: np.ndarray | None
    spec: InputSpec
    pixels: bool
    channel: int | None

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Yields images as the model takes them.

        Raises:
            InputError: If they leave the model's range.
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
            yield self._fitted(values[start : start + size])

    def _fitted(self, values: np.ndarray) -> np.ndarray:
        if self.channel is not None:
            values = np.expand_dims(values, self.channel)
        if self.pixels:
            return self.spec.from_pixels(values)
        self.spec.check_range(values, f"`{self.path}`")
        return np.ascontiguousarray(values, numpy_dtype(self.spec.dtype))


def open_array(path: Path, spec: InputSpec, classes: Sequence[str] | None) -> ArrayFile:
    """Reads the header of an `.npy` or `.npz` file and holds it against the model.

    An array is as the model takes it, or, where image files can be its input, of uint8 pixels in
    0..255 with channels last. One channel needs no axis.

    Of an `.npz` the array `images`, else `x`, else the only one that can be images is taken, and
    `labels` or `y`, class indices or names, are the true classes.

    Args:
        path: The file.
        spec: The model's input.
        classes: The model's classes; None where labels mean nothing.

    Raises:
        InputError: If dtype or shape do not fit the model.
        ModelError: If they are pixels, and what becomes of them is unknown.
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
            labels = None if classes is None else _labels(path, headers)
    except _UNREADABLE as error:
        raise DataError(f"`{path}` cannot be read: {_one_line(error)}") from error
    chosen = _image_array(path, headers, spec)
    shape, dtype = headers[chosen]
    what = f"`{path}`" if chosen is None else f"Array `{chosen}` of `{path}`"
    fit = _fit(what, shape, dtype, spec)
    if labels is not None and classes is not None:
        labels = _class_indices(path, labels, fit.images, classes)
    return ArrayFile(path, chosen, fit.images, fit.single, labels, spec, fit.pixels, fit.channel)


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


def _image_array(
    path: Path, headers: dict[str | None, tuple[Shape, np.dtype]], spec: InputSpec
) -> str | None:
    if None in headers:
        return None
    for name in _IMAGE_NAMES:
        if name in headers:
            return name
    fitting = [
        name
        for name, (shape, dtype) in headers.items()
        if len(shape) >= 2 and (dtype == np.uint8 or _can_be(dtype, spec))
    ]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(sorted(str(name) for name in headers)) or "none"
    raise InputError(
        f"`{path}` must hold its images as `images` or `x`, or one array of images only, "
        f"but its arrays are {names}. Save it with `numpy.savez(file, images=...)`."
    )


class _Fit(NamedTuple):
    single: bool
    images: int
    pixels: bool
    channel: int | None


def _fit(what: str, shape: Shape, dtype: np.dtype, spec: InputSpec) -> _Fit:
    """How an array becomes the model's input: as it is where that is possible, else as pixels."""
    forms = [(False, spec.shape[1:])] if _can_be(dtype, spec) else []
    if spec.is_image and dtype == np.uint8:
        forms.append((True, (*spec.size, spec.channels)))
    if not forms:
        raise InputError(
            f"{what} must hold {_types(spec)}, but its dtype is {dtype}. "
            "Convert it with `array.astype`."
        )
    for pixels, image in forms:
        # The channel, of one, may be left out.
        channel = len(image) - 1 if pixels or spec.layout == "NHWC" else 0
        may_lack = spec.is_image and image[channel] == 1
        for lacks in (False, True) if may_lack else (False,):
            wanted = image[:channel] + image[channel + 1 :] if lacks else image
            single = _matches(shape, wanted)
            if not single and not _matches(shape[1:], wanted):
                continue
            if pixels:
                spec.require_decodable()
            images = 1 if single else shape[0]
            if images == 0:
                raise InputError(f"{what} must hold at least one image, but its shape is [0, ...].")
            return _Fit(single, images, pixels, channel + 1 if lacks else None)
    known = [_form(image) for _, image in dict.fromkeys(forms)]
    if spec.is_image and spec.channels == 1:
        known.append(_form(spec.size))
    raise InputError(
        f"{what} must have shape {' or '.join(dict.fromkeys(known))}, as the model reads it, but "
        f"it has shape {list(shape)}. Arrays are taken as they are; image files are resized."
    )


def _matches(shape: Shape, wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(
        length in (None, given) for given, length in zip(shape, wanted, strict=True)
    )


def _form(image: Sequence[int | None]) -> str:
    return words(("N", *image))  # type: ignore[arg-type]


def _can_be(dtype: np.dtype, spec: InputSpec) -> bool:
    return can_cast(dtype, numpy_dtype(spec.dtype))


def _types(spec: InputSpec) -> str:
    if not spec.is_image:
        return spec.dtype
    kind = numpy_dtype(spec.dtype).kind
    what = "floats" if kind in "fV" else spec.dtype
    if spec.limits is not None:
        what += f" in {spec.limits[0]:g}..{spec.limits[1]:g}"
    return what if spec.dtype == "uint8" else f"uint8 in 0..255 or {what}"


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


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith(".") else f"{text}."
