"""Images in folders: one sub-folder a class, or such folders within those of the parts."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stn_tf.data.image_file import SUFFIXES
from stn_tf.data.listing import EMPTY, Files, Listing, left_out, listed
from stn_tf.data.names import Names
from stn_tf.data.split import PARTS, TEST, TRAIN, VALIDATION
from stn_tf.errors import DataError

# Names of folders, in any case.
PART_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
    "testing": TEST,
}
_LAYOUT = "one sub-folder for each class, with its images inside"
# What archives and file servers leave behind.
_IGNORED = ("__MACOSX", "@eaDir")


def find(root: Path) -> Listing:
    """Lists the images of a tree of folders; class folders may be nested deeper.

    Hidden files and files that are no images by their suffix do not count.

    Raises:
        DataError: If `root` is no folder, the tree is half a split, or a class folder is empty or
            of a class that is not trained on.
    """
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise DataError(f"`data_dir` must be a folder with {_LAYOUT}, but {root} {what}.")
    parts, notes = _parts(root)
    classes = _classes(root, parts)
    labels: list[np.ndarray] = []
    of_parts: list[np.ndarray] = []
    paths: list[str] = []
    empty: list[str] = []
    for folder, part in parts.items():
        for name in _folders(folder):
            if name not in classes:
                if _has_image(folder / name):
                    raise DataError(
                        f"{folder / name} is of the class {name}, of which {_train(parts)} has no "
                        "folder. Add it, or remove this one."
                    )
                continue
            found: list[str] = []
            path_name = f"{_prefix(folder, root)}{name}"
            for path, size in _images(folder / name, path_name, (_id(root), _id(folder))):
                (found if size else empty).append(path)
            if part == TRAIN and not found:
                raise DataError(
                    f"The class folder {folder / name} holds no image. Add some, or remove it. "
                    f"Images are files that end in {', '.join(sorted(SUFFIXES))}."
                )
            paths += sorted(found)
            labels.append(np.full(len(found), classes.index(name), np.int32))
            of_parts.append(np.full(len(found), part, np.int8))
    return Listing(
        Files(root, Names(paths)),
        np.concatenate(labels),
        np.concatenate(of_parts),
        classes,
        (*notes, *left_out(sorted(empty), EMPTY)),
        {part: f"{folder.name}/" for folder, part in parts.items() if folder != root},
    )


def _parts(root: Path) -> tuple[dict[Path, int], tuple[str, ...]]:
    """Returns the folders that hold class folders, each with its part, and notes."""
    names = _folders(root)
    split = [name for name in names if name.casefold() in PART_NAMES]
    if not split:
        return {root: TRAIN}, ()
    parts = {name: PART_NAMES[name.casefold()] for name in split}
    words = ", ".join(f"{name}/" for name in split)
    for part, called in enumerate(PARTS):
        same = [f"{name}/" for name in split if parts[name] == part]
        if len(same) > 1:
            raise DataError(
                f"{root} has {len(same)} folders for {called}: {', '.join(same)}. Merge them, or "
                "move one away."
            )
    others = [name for name in names if name not in parts]
    if classes := [name for name in others if _has_image(root / name)]:
        raise DataError(
            f"{root} is half a split: beside {words} there are folders of images that are no part: "
            f"{listed([f'{name}/' for name in classes])}. Move them into the parts, or away; or "
            "rename what is meant as a class."
        )
    if TRAIN not in parts.values():
        raise DataError(
            f"{root} is half a split: it has {words}, but no folder train/. Add it, or give the "
            "folder that holds both."
        )
    notes = left_out([f"{name}/" for name in others], "folders without images")
    return {root / name: part for name, part in parts.items()}, notes


def _classes(root: Path, parts: dict[Path, int]) -> tuple[str, ...]:
    """Returns the names of the class folders to train on, sorted as text."""
    train = _train(parts)
    classes = tuple(_folders(train))
    if len(classes) > 1:
        return classes
    only = f"only one, {classes[0]}" if classes else "no sub-folder"
    cure = ""
    if classes and len(inner := _folders(train / classes[0])) > 1:
        cure = f" If the classes are {listed(inner, 3)}, give {train / classes[0]}."
    raise DataError(f"{train} must hold at least two classes ({_LAYOUT}), but has {only}.{cure}")


def _train(parts: dict[Path, int]) -> Path:
    return next(folder for folder, part in parts.items() if part == TRAIN)


def _prefix(folder: Path, root: Path) -> str:
    return "" if folder == root else f"{folder.name}/"


def _shown(name: str) -> bool:
    return not name.startswith(".") and name not in _IGNORED


def _folders(parent: Path) -> list[str]:
    with os.scandir(parent) as entries:
        return sorted(e.name for e in entries if _shown(e.name) and e.is_dir())


def _images(
    folder: str | Path, name: str, above: tuple[tuple[int, int], ...] = ()
) -> Iterator[tuple[str, int]]:
    """Yields the path below the root, with `/`, and the size of each image file in a folder.

    Links to folders are followed, but not to one that they lie in.
    """
    this = _id(folder)
    if this in above:
        return
    inner = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not _shown(entry.name):
                continue
            if entry.is_dir():
                inner.append(entry)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                if entry.is_file():
                    yield f"{name}/{entry.name}", entry.stat().st_size
                elif entry.is_symlink():
                    yield f"{name}/{entry.name}", 0
    for entry in inner:
        yield from _images(entry.path, f"{name}/{entry.name}", (*above, this))


def _id(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _has_image(folder: Path) -> bool:
    return next(_images(folder, ""), None) is not None
