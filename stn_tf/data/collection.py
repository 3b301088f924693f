"""Collections: anybody's images with their classes, in three parts."""

import dataclasses
import functools
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stn_tf.data.image_file import UNREADABLE, Header, read_header
from stn_tf.data.listing import Listing, Store, in_threads, listed, without_unreadable
from stn_tf.data.names import Names
from stn_tf.data.split import PARTS, TEST, TRAIN, VALIDATION, stratified_split
from stn_tf.errors import ConfigError, DataError

# Kind -> the module whose `find` lists it.
_KINDS = {
    "folder": "stn_tf.data.folder_tree",
    "cub": "stn_tf.data.cub",
    "table": "stn_tf.data.table",
    "tfrecord": "stn_tf.data.shards",
}
KINDS = ("auto", *_KINDS)
# Up to so many images, all headers are read at the start.
_MOST_HEADERS = 5000


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Some of the images of a collection.

    Attributes:
        store: Where they lie.
        labels: int32 `[N]`, indices into the collection's classes.
    """

    store: Store
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> Names:
        """The identity of each image, for example its path below the root, with `/`."""
        return self.store.names

    def open(self, index: int) -> Path | BinaryIO:
        """Returns an image's file, as `read_image` takes it."""
        return self.store.open(index)

    def headers(self, most: int = 256) -> list[Header]:
        """Returns what the files of up to `most` images, evenly spread, say of size and colour.

        Those that cannot be read are left out.
        """
        chosen = np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).astype(np.int64))

        def header(number: int) -> Header | None:
            try:
                return read_header(self.open(int(chosen[number])))
            except UNREADABLE:  # Named where the image is needed.
                return None

        return [found for found in in_threads(header, len(chosen)) if found is not None]


@dataclasses.dataclass(frozen=True, eq=False)
class Collection:
    """Images to train on, to choose by and to report on.

    Attributes:
        root: The folder or file that it was read from.
        listing: All images.
    """

    root: Path
    listing: Listing

    @property
    def classes(self) -> tuple[str, ...]:
        """Their names; labels are indices into it."""
        return self.listing.classes

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found and decided, a line each, with the setting that changes it."""
        counts = np.bincount(self.listing.parts, minlength=len(PARTS))
        return (
            f"{len(self.listing):,} images of {len(self.classes):,} classes: "
            f"{counts[TRAIN]:,} to train on, {counts[VALIDATION]:,} to choose by, "
            f"{counts[TEST]:,} to report on.",
            *self.listing.notes,
        )

    @functools.cached_property
    def train(self) -> Part:
        return self._part(TRAIN)

    @functools.cached_property
    def validation(self) -> Part:
        return self._part(VALIDATION)

    @functools.cached_property
    def test(self) -> Part:
        return self._part(TEST)

    @functools.cached_property
    def everything(self) -> Part:
        """All images of all parts."""
        return Part(self.listing.store, self.listing.labels)

    def _part(self, part: int) -> Part:
        chosen = self.listing.take(np.flatnonzero(self.listing.parts == part))
        return Part(chosen.store, chosen.labels)


def load_collection(
    data_dir: Path | str,
    *,
    kind: str = "auto",
    validation_share: float = 0.1,
    test_share: float = 0.2,
    classes: Sequence[str] | None = None,
) -> Collection:
    """Lists images and puts each into a part; the images themselves are read when needed.

    What the data says of its parts holds. Where it says nothing, or has training images alone,
    both other parts are set aside from these; where it has no validation part, that one; and where
    it has training and validation images alone, the result is measured on the latter, and what
    chooses is set aside from the former: test images are never chosen from.

    Up to 5,000 images, headers are read, and images without a readable one are left out.

    Args:
        data_dir: A folder or a file.
        kind: What it is, one of `KINDS`.
        validation_share: Of each class, what is set aside to choose by.
        test_share: Likewise, to report on.
        classes: The names of the classes in the order of a model's outputs; by default those that
            are found, sorted.

    Raises:
        ConfigError: If there is no such kind.
        DataError: If the data cannot be read; the text names the file, the cause and the cure.
    """
    root = Path(data_dir)
    if kind not in KINDS:
        raise ConfigError(f"`data` must be one of {', '.join(KINDS)}, but it is {kind!r}.")
    try:
        kind = _kind(root) if kind == "auto" else kind
        listing: Listing = importlib.import_module(_KINDS[kind]).find(root)
    except OSError as error:
        raise DataError(f"{error.filename or root} cannot be read: {error.strerror}.") from None
    if not len(listing):
        raise DataError(f"{root} holds no image. Add some.")
    if len(listing) <= _MOST_HEADERS:
        listing = without_unreadable(listing)
    if classes is not None:
        listing = _of_classes(listing, tuple(classes), root)
    if len(listing.classes) < 2:
        raise DataError(
            f"{root} must hold at least two classes, but has {listed(listing.classes) or 'none'}."
        )
    return Collection(root, _with_parts(listing, root, validation_share, test_share))


def check_classes(collection: Collection, classes: Sequence[str]) -> None:
    """Raises DataError if a collection's classes are others than a model's, or in another order."""
    if tuple(classes) == collection.classes:
        return
    new = [name for name in collection.classes if name not in classes]
    gone = [name for name in classes if name not in collection.classes]
    differences = [
        f"{words} {listed(names)}" for words, names in (("new:", new), ("missing:", gone)) if names
    ]
    raise DataError(
        f"{collection.root} has other classes than the model was trained on "
        f"({'; '.join(differences) or 'in another order'}). Give a folder with the same "
        f"{len(classes):,} classes, or train a new model."
    )


def _kind(root: Path) -> str:
    from stn_tf.data import cub, shards, table

    if cub.root_of(root):
        return "cub"
    if shards.shards_of(root):
        return "tfrecord"
    return "table" if table.table_of(root) else "folder"


def _of_classes(listing: Listing, classes: tuple[str, ...], root: Path) -> Listing:
    if unknown := [name for name in listing.classes if name not in classes]:
        raise DataError(
            f"{root} holds the classes {listed(unknown)}, which are not among the "
            f"{len(classes):,} that were asked for. Remove them, or leave `classes` out."
        )
    index = np.array([classes.index(name) for name in listing.classes], np.int32)
    return dataclasses.replace(listing, labels=index[listing.labels], classes=classes)


def _with_parts(
    listing: Listing, root: Path, validation_share: float, test_share: float
) -> Listing:
    """Sets aside what the data has no part for."""
    parts = listing.parts.copy()
    there = {int(part) for part in np.unique(parts)}
    words, notes = listing.words, list(listing.notes)
    if TRAIN not in there:
        raise DataError(
            f"{root} is half a split: it has no image to train on, only {words[min(there)]}. Add "
            "some."
        )
    if there == {TRAIN, VALIDATION}:
        parts[parts == VALIDATION] = TEST
        there = {TRAIN, TEST}
        notes.append(
            f"The result is measured on {words[VALIDATION]}, because there is no part for tests; "
            f"nothing is chosen by it (name a part test to choose by {words[VALIDATION]})."
        )
    shares = {
        "validation": 0.0 if VALIDATION in there else validation_share,
        "test": 0.0 if TEST in there else test_share,
    }
    for name, share in shares.items():
        if not 0 <= share < 1 or sum(shares.values()) >= 1:
            raise ConfigError(
                f"`{name}_share` must be at least 0 and below 1 with the other share, but it is "
                f"{share}."
            )
    members = np.flatnonzero(parts == TRAIN)
    _check_counts(listing, listing.labels[members], 1 + sum(map(bool, shares.values())))
    if any(shares.values()):
        names = (listing.store.names[int(member)] for member in members)
        parts[members] = stratified_split(names, listing.labels[members], **shares)
        aside = " and ".join(
            f"{100 * share:g} % {purpose} ({name}_share={share:g})"
            for (name, share), purpose in zip(
                shares.items(), ("to choose by", "to report on"), strict=True
            )
            if share
        )
        notes.append(f"Set aside of each class to train on: {aside}, by the hash of the names.")
    return dataclasses.replace(listing, parts=parts, notes=tuple(notes))


def _check_counts(listing: Listing, labels: np.ndarray, needed: int) -> None:
    """Every class needs one training image, and one for each part that is set aside from them."""
    counts = np.bincount(labels, minlength=len(listing.classes))
    if len(short := np.flatnonzero(counts < needed)):
        names = [f"{listing.classes[label]} ({counts[label]})" for label in short]
        raise DataError(
            f"Each class must have at least {needed} readable images to train with, but "
            f"{len(short):,} have fewer: {listed(names)}. Add some, or remove them."
        )
