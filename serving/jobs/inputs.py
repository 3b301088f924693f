"""What a job reads: image files, folders of them and arrays, found before anything is computed."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from stn_tf.data.image_file import SUFFIXES, read_for
from stn_tf.errors import DataError
from stn_tf.interface import InputSpec
from stn_tf.serving.jobs.arrays import ARRAY_SUFFIXES, ArrayFile, open_array
from stn_tf.serving.models.encoded_image import file_pixels

_DECODERS = 4

# An image and the size of its file, or why there is none.
_Decoded = tuple[np.ndarray, tuple[int, int]] | str


@dataclass(frozen=True)
class Batch:
    """Images as a model takes them, and where they come from.

    Attributes:
        images: `[n, ...]` in the layout, type and range of `spec`; all of one size.
        spec: The model's input.
        sources: The file of each image.
        indices: `[n]`: which image of its file it is.
        labels: `[n]` class indices, where the file has them, else -1.
        originals: Height and width of the image file, None for arrays.
    """

    images: np.ndarray
    spec: InputSpec
    sources: list[str]
    indices: np.ndarray
    labels: np.ndarray
    originals: list[tuple[int, int] | None]

    def original_pixels(self, points: np.ndarray) -> np.ndarray:
        """Moves `[n, ..., 2]` (x, y) pixels of the images to pixels of the files they came from."""
        moved = np.array(points, np.float32)
        for row, original in enumerate(self.originals):
            if original is not None:
                moved[row] = file_pixels(points[row], original, self.spec)
        return moved


@dataclass
class Inputs:
    """The images of a job, in the order in which they are read.

    Attributes:
        files: Image files and arrays.
        spec: The model's input.
        unreadable: Image files that could not be decoded, with the reason; filled by `batches`.
    """

    files: list[Path | ArrayFile]
    spec: InputSpec
    unreadable: list[tuple[Path, str]] = field(default_factory=list)

    def batches(self, size: int) -> Iterator[Batch]:
        """Yields batches of at most `size` images, decoding the next while one is computed.

        Where the model takes any size, a batch ends before an image of another one.
        """
        with ThreadPoolExecutor(_DECODERS) as pool:
            waiting: deque[ArrayFile | list[tuple[Path, Future[_Decoded]]]] = deque()
            for group in self._groups(size):
                if isinstance(group, ArrayFile):
                    waiting.append(group)
                else:
                    waiting.append([(path, pool.submit(self._decode, path)) for path in group])
                if len(waiting) > 1:
                    yield from self._finished(waiting.popleft(), size)
            while waiting:
                yield from self._finished(waiting.popleft(), size)

    def _groups(self, size: int) -> Iterator[ArrayFile | list[Path]]:
        """Array files one by one, the image files between them in groups of at most `size`."""
        paths: list[Path] = []
        for file in self.files:
            if paths and (isinstance(file, ArrayFile) or len(paths) == size):
                yield paths
                paths = []
            if isinstance(file, ArrayFile):
                yield file
            else:
                paths.append(file)
        if paths:
            yield paths

    def _finished(
        self, group: ArrayFile | list[tuple[Path, Future[_Decoded]]], size: int
    ) -> Iterator[Batch]:
        if isinstance(group, ArrayFile):
            yield from self._array_batches(group, size)
        else:
            yield from self._decoded([(path, future.result()) for path, future in group])

    def _array_batches(self, file: ArrayFile, size: int) -> Iterator[Batch]:
        start = 0
        for images in file.batches(size):
            count = len(images)
            indices = np.arange(start, start + count)
            labels = np.full(count, -1) if file.labels is None else file.labels[indices]
            yield Batch(
                images,
                self.spec,
                [_text(file.path)] * count,
                indices,
                labels,
                [None] * count,
            )
            start += count

    def _decode(self, path: Path) -> _Decoded:
        try:
            return read_for(path, self.spec)
        except Exception as error:
            # Beyond `UNREADABLE`, Pillow 12's plugins let a damaged file's struct.error and the
            # like through. One file must not end a job over a million others.
            return " ".join(str(error).split()) or type(error).__name__

    def _decoded(self, results: list[tuple[Path, _Decoded]]) -> Iterator[Batch]:
        read = []
        for path, result in results:
            if isinstance(result, str):
                self.unreadable.append((path, result))
            else:
                read.append((_text(path), *result))
        for _, run in groupby(read, key=lambda one: one[1].shape):
            sources, images, originals = zip(*run, strict=True)
            yield Batch(
                np.stack(images),
                self.spec,
                list(sources),
                np.zeros(len(images), np.int64),
                np.full(len(images), -1),
                list(originals),
            )


def find_inputs(
    paths: Sequence[Path], spec: InputSpec, classes: Sequence[str] | None = None
) -> Inputs:
    """Finds the images in files and folders, and checks the headers of arrays.

    Args:
        paths: Image files, `.npy` and `.npz` files, and folders, searched at any depth for image
            files that are not hidden, in alphabetical order.
        spec: The model's input.
        classes: The model's classes, for the labels in an `.npz` file; None to leave labels alone.

    Raises:
        DataError: If a path does not exist, is no image or array, or a folder holds no image.
        InputError: If an array does not fit the model.
        ModelError: If image files, or arrays of pixels, cannot become the model's input.
    """
    files: list[Path | ArrayFile] = []
    for path in map(Path, paths):
        if path.is_dir():
            found = sorted(
                p
                for p in path.rglob("*")
                if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()
            )
            if not found:
                raise DataError(
                    f"`{path}` holds no image files ({', '.join(sorted(SUFFIXES))}). "
                    "Name a folder of images, or .npy or .npz files one by one."
                )
            files += found
        elif not path.exists():
            raise DataError(f"`{path}` does not exist. Name image files, folders or arrays.")
        elif path.suffix.lower() in ARRAY_SUFFIXES:
            files.append(open_array(path, spec, classes))
        elif path.suffix.lower() in SUFFIXES:
            files.append(path)
        else:
            raise DataError(
                f"`{path}` is neither an image file ({', '.join(sorted(SUFFIXES))}) nor an array "
                f"({', '.join(ARRAY_SUFFIXES)})."
            )
    if any(isinstance(file, Path) for file in files):
        spec.require_decodable()
    return Inputs(files, spec)


def _text(path: Path) -> str:
    """The path as a text that any file can hold: bytes that are no UTF-8 as escapes."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")
