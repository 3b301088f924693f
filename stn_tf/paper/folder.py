"""The source `folder`: the user's own images, one sub-folder for each class."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from stn_tf.data.image_file import SUFFIXES, UNREADABLE, Header, read_header, read_image
from stn_tf.paper.source import Examples, Source
from stn_tf.data.split import TEST, TRAIN, VALIDATION, stratified_split
from stn_tf.errors import DataError

_LOG = logging.getLogger(__name__)
# Decoded images stay in memory while training.
_MOST_BYTES = 8 * 2**30
_PART_FOLDERS = {"train": TRAIN, "validation": VALIDATION, "val": VALIDATION, "test": TEST}
_VALIDATION_SHARE, _TEST_SHARE = 0.1, 0.2
_LAYOUT = "one sub-folder for each class, with its images inside"

_T = TypeVar("_T")


class _File(NamedTuple):
    path: Path
    name: str  # Relative path: the identity of the image.
    label: int
    part: int


def load(data_dir: Path, image_size: tuple[int, int] | None, channels: int | None) -> Source:
    """Returns the images below `data_dir`; unreadable ones are left out and logged in one line.

    With `train/` and `test/` these are the parts and any other folders are left out; without
    `validation/` (or `val/`) a tenth of each class of `train/` becomes it. Otherwise each class is
    split by the hash of relative paths: 70 % train, 10 % validation, 20 % test.
    """
    files, classes, split_parts = _find_files(data_dir)
    unreadable: dict[str, str] = {}
    if image_size is None or channels is None:
        headers, files = _each_readable(read_header, files, unreadable)
        _require_images(data_dir, files, unreadable)
        if image_size is None:
            image_size = _common_size(headers, files)
        if channels is None:
            channels = max(header.channels for header in headers)
    size, depth = image_size, channels
    _check_memory(len(files), size, depth)
    images, files = _each_readable(lambda path: read_image(path, size, depth), files, unreadable)
    _require_images(data_dir, files, unreadable)
    _log_unreadable(unreadable)

    labels = np.array([file.label for file in files], np.int32)
    parts = np.array([file.part for file in files])
    _check_counts(labels[parts == TRAIN], classes, split_parts)
    for part, shares in split_parts.items():
        (members,) = np.nonzero(parts == part)
        names = [files[member].name for member in members]
        parts[members] = stratified_split(names, labels[members], **shares)
    for part, name in ((VALIDATION, "validation"), (TEST, "test")):
        if part not in parts:
            raise DataError(f"The folder {name} in {data_dir} holds no readable image. Add some.")
    examples = Examples(np.stack(images), labels)
    return Source(
        train=examples[parts == TRAIN],
        validation=examples[parts == VALIDATION],
        test=examples[parts == TEST],
        classes=classes,
    )


def _find_files(root: Path) -> tuple[list[_File], tuple[str, ...], dict[int, dict[str, float]]]:
    """Returns the image files, the classes, and which part must be split by which shares."""
    if not root.is_dir():
        raise DataError(f"`data_dir` must be a folder with {_LAYOUT}, but {root} is not a folder.")
    names = {folder.name for folder in _folders(root)}
    parts = sorted(names & set(_PART_FOLDERS))
    if {"train", "test"} <= names:
        if others := sorted(names - set(parts)):
            _LOG.warning("Left out folders in %s that are no part: %s", root, ", ".join(others))
        folders = {root / name: _PART_FOLDERS[name] for name in parts}
        split_parts = {}
        if VALIDATION not in folders.values():
            split_parts[TRAIN] = {"validation": _VALIDATION_SHARE, "test": 0.0}
    elif parts and len(parts) == len(names):
        missing = "test" if "train" in names else "train"
        raise DataError(f"{root} has a folder {parts[0]}, but no folder {missing}. Add it.")
    else:
        folders = {root: TRAIN}
        split_parts = {TRAIN: {"validation": _VALIDATION_SHARE, "test": _TEST_SHARE}}

    found = [
        (path, part, folder.name)
        for parent, part in folders.items()
        for folder in _folders(parent)
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]
    classes = tuple(sorted({name for _, part, name in found if part == TRAIN}))
    if len(classes) < 2:
        only = f"only one, {classes[0]}" if classes else "no sub-folder with images"
        raise DataError(f"{root} must hold at least two classes ({_LAYOUT}), but has {only}.")
    for path, _, name in found:
        if name not in classes:
            raise DataError(
                f"{path} is of the class {name}, of which {root / 'train'} has no image. "
                "Add some, or remove the folder."
            )
    files = [
        _File(path, path.relative_to(root).as_posix(), classes.index(name), part)
        for path, part, name in found
    ]
    return files, classes, split_parts


def _folders(parent: Path) -> list[Path]:
    return sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))


def _each_readable(
    read: Callable[[Path], _T], files: Sequence[_File], unreadable: dict[str, str]
) -> tuple[list[_T], list[_File]]:
    """Reads all files in threads (Pillow decodes outside the interpreter lock), in their order."""

    def attempt(file: _File) -> _T | None:
        try:
            return read(file.path)
        except UNREADABLE as error:
            unreadable[file.name] = str(error).splitlines()[0] if str(error) else repr(error)
            return None

    with ThreadPoolExecutor() as pool:
        results = list(pool.map(attempt, files))
    pairs = [(r, file) for r, file in zip(results, files, strict=True) if r is not None]
    return [result for result, _ in pairs], [file for _, file in pairs]


def _require_images(root: Path, files: Sequence[_File], unreadable: dict[str, str]) -> None:
    if not files:
        name, cause = next(iter(unreadable.items()))
        raise DataError(
            f"None of the {len(unreadable)} images in {root} can be read. "
            f"The first: {name} ({cause})."
        )


def _log_unreadable(unreadable: dict[str, str], most: int = 10) -> None:
    if unreadable:
        listed = "; ".join(f"{name} ({unreadable[name]})" for name in sorted(unreadable)[:most])
        rest = f"; and {len(unreadable) - most} more" if len(unreadable) > most else ""
        _LOG.warning("Left out images that cannot be read: %s%s", listed, rest)


def _common_size(headers: Sequence[Header], files: Sequence[_File]) -> tuple[int, int]:
    first = headers[0]
    for header, file in zip(headers, files, strict=True):
        if header[:2] != first[:2]:
            raise DataError(
                "`image_size` must be given, because the images differ in size: "
                f"{files[0].name} is {first.height}x{first.width}, but {file.name} is "
                f"{header.height}x{header.width}. Set it to (height, width), for example (64, 64)."
            )
    return first.height, first.width


def _check_memory(count: int, size: tuple[int, int], channels: int) -> None:
    needed = count * size[0] * size[1] * channels
    if needed > _MOST_BYTES:
        raise DataError(
            f"`image_size` is {size[0]}x{size[1]}: {count:,} images of it need "
            f"{needed / 2**30:.1f} GiB of memory, but at most {_MOST_BYTES / 2**30:.1f} GiB are "
            "allowed. Choose a smaller `image_size`."
        )


def _check_counts(
    labels: np.ndarray, classes: tuple[str, ...], split_parts: dict[int, dict[str, float]]
) -> None:
    """Every class needs one training image, and one for each part that is split off from it."""
    needed = 1 + sum(share > 0 for share in split_parts.get(TRAIN, {}).values())
    counts = np.bincount(labels, minlength=len(classes))
    label = int(np.argmin(counts))
    if counts[label] < needed:
        raise DataError(
            f"The class {classes[label]} must have at least {needed} readable images to train "
            f"with, but has {counts[label]}. Add some, or remove its folder."
        )
