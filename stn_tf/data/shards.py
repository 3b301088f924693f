"""Images in TFRecord shards, read at random by an index.

The index is a Parquet file beside the shards, one row an image: name, label, split, and where it
is. What `stn-tf data pack` wrote has one; other shards are scanned once.
"""

import dataclasses
import hashlib
import io
import json
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stn_tf.data.folder_tree import PART_NAMES
from stn_tf.data.listing import Listing, listed, without_empty
from stn_tf.data.names import Names
from stn_tf.data.split import PARTS, TRAIN
from stn_tf.data.tf_example import Piece, decode, records, unframe
from stn_tf.errors import DataError

_LOG = logging.getLogger(__name__)

INDEX = "stn_tf_index.parquet"
_VERSION = 1
_SUFFIXES = (".tfrecord", ".tfrecords", ".tfrec")
# As TensorFlow's tools number them.
_NUMBERED = re.compile(r"-\d{5}-of-\d{5}$")
# The keys of TF-Slim: the image, its class by number and by name, its own name.
ENCODED, NAME = "image/encoded", "image/filename"
LABEL, TEXT = "image/class/label", "image/class/text"


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
    """Images within TFRecord files.

    Attributes:
        root: The folder of the files.
        files: Their paths within it.
        names: Of the images.
        places: int64 `[N, 4]`: which file, where the frame of the record starts in it and how long
            that is, and where the image starts in the record.
        sizes: Bytes of each image, int64 `[N]`.
    """

    root: Path
    files: tuple[str, ...]
    names: Names
    places: np.ndarray
    sizes: np.ndarray

    def open(self, index: int) -> BinaryIO:
        file, start, length, image = (int(number) for number in self.places[index])
        with (self.root / self.files[file]).open("rb") as opened:
            opened.seek(start)
            record = unframe(opened.read(length))
        return io.BytesIO(record[image : image + int(self.sizes[index])])

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.names.digest() + self.places.tobytes())
        for file in self.files:
            status = (self.root / file).stat()
            digest.update(f"{file} {status.st_size} {status.st_mtime_ns};".encode())
        return digest.hexdigest()

    def take(self, indices: np.ndarray) -> "Records":
        return dataclasses.replace(
            self,
            names=self.names.take(indices),
            places=self.places[indices],
            sizes=self.sizes[indices],
        )


def shards_of(root: Path) -> list[str]:
    """Returns the TFRecord files of a folder and of folders of parts in it, or the file itself."""
    if root.is_file():
        return [root.name] if _is_shard(root.name) else []
    if not root.is_dir():
        return []
    folders = [root, *(f for f in root.iterdir() if f.name.casefold() in PART_NAMES and f.is_dir())]
    return sorted(
        path.relative_to(root).as_posix()
        for folder in folders
        for path in folder.iterdir()
        if _is_shard(path.name) and path.is_file()
    )


def find(path: Path) -> Listing:
    """Lists the images of TFRecord shards.

    Raises:
        DataError: If there are none, they are damaged or no images with classes, or they are half a
            split.
    """
    files = shards_of(path)
    root = path.parent if path.is_file() else path
    if not files:
        raise DataError(
            f"{path} must hold TFRecord files (.tfrecord), but has none. Write some with "
            f"`stn-tf data pack FOLDER --out {path}`."
        )
    listing = read_index(root, files)
    if listing is None:
        listing = _scan(root, files)
        try:
            if path.is_dir():
                write_index(root / INDEX, listing)
            kept = f"{INDEX} is beside them now"
        except OSError as error:
            kept = f"each time, because {INDEX} cannot be written there ({error.strerror})"
        listing = dataclasses.replace(
            listing, notes=(*listing.notes, f"Scanned {len(files):,} TFRecord files; {kept}.")
        )
    assert isinstance(listing.store, Records)
    return without_empty(listing, listing.store.sizes)


def write_index(path: Path, listing: Listing) -> None:
    """Writes the index of a listing of `Records`, beside its place and then renamed to it.

    Raises:
        OSError: If it cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    store = listing.store
    assert isinstance(store, Records)
    columns = {
        # Bytes, because names of files may be no UTF-8.
        "name": pa.array(name.encode("utf-8", "surrogateescape") for name in store.names),
        "label": listing.labels,
        "class": pa.DictionaryArray.from_arrays(pa.array(listing.labels), list(listing.classes)),
        "split": pa.DictionaryArray.from_arrays(pa.array(listing.parts), list(PARTS)),
        **{
            name: store.places[:, column]
            for column, name in enumerate(("file", "record_start", "record_bytes", "image_start"))
        },
        "image_bytes": store.sizes,
    }
    facts = {
        "version": _VERSION,
        "classes": listing.classes,
        "files": {name: (store.root / name).stat().st_size for name in store.files},
    }
    table = pa.table(columns).replace_schema_metadata({"stn_tf": json.dumps(facts)})
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        pq.write_table(table, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_index(root: Path, files: Sequence[str]) -> Listing | None:
    """Returns what the index beside some files says; None if it is missing or of other files."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = root / INDEX
    if not path.is_file():
        return None
    try:
        table = pq.read_table(path)
        facts = json.loads(table.schema.metadata[b"stn_tf"])
        if facts["version"] != _VERSION:
            return None
        sizes = {name: (root / name).stat().st_size for name in files}
        if facts["files"] != sizes:
            _LOG.warning("%s is of other files than are there now: they are scanned again.", path)
            return None
        places = ("file", "record_start", "record_bytes", "image_start")
        split = table["split"].combine_chunks()
        parts = np.array([PARTS.index(word) for word in split.dictionary.to_pylist()], np.int8)
        store = Records(
            root,
            tuple(facts["files"]),
            Names(name.as_py().decode("utf-8", "surrogateescape") for name in table["name"]),
            np.stack([table[name].to_numpy().astype(np.int64) for name in places], axis=1),
            table["image_bytes"].to_numpy().astype(np.int64),
        )
        return Listing(
            store,
            table["label"].to_numpy().astype(np.int32),
            parts[split.indices.to_numpy()],
            tuple(facts["classes"]),
        )
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read as an index of TFRecord files: {' '.join(str(error).split())}. "
            "Remove it, and they are scanned."
        ) from None


def _scan(root: Path, files: Sequence[str]) -> Listing:
    _LOG.info("Scanning %d TFRecord files in %s", len(files), root)
    of_files = [_part_of(name) for name in files]
    if None in of_files and any(part is not None for part in of_files):
        others = [name for name, part in zip(files, of_files, strict=True) if part is None]
        raise DataError(
            f"{root} is half a split: {listed(others)} are of no part. Begin their names with "
            "train, validation or test, or move them away."
        )
    names, numbers, parts, places, sizes = [], [], [], [], []
    texts: dict[int, str] = {}
    for file, (name, part) in enumerate(zip(files, of_files, strict=True)):
        try:
            with (root / name).open("rb") as opened:
                for row, (start, record) in enumerate(records(opened), 1):
                    image, number, text, own = _example(record, row)
                    if texts.setdefault(number, text) != text:
                        raise ValueError(
                            f"record {row}: {LABEL} {number} is {text!r} here and "
                            f"{texts[number]!r} before"
                        )
                    names.append(own or f"{name}#{row}")
                    numbers.append(number)
                    parts.append(TRAIN if part is None else part)
                    places.append((file, start, len(record) + 16, image.start))
                    sizes.append(image.stop - image.start)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{root / name} cannot be read as images with classes in uncompressed TFRecord "
                f"form: {error}. It needs {ENCODED} and {LABEL} in each record; `stn-tf data pack` "
                "writes them."
            ) from None
    if not names:
        raise DataError(f"The {len(files):,} TFRecord files in {root} hold no record.")
    if len(set(names)) < len(names):  # Names must tell images apart.
        names = [f"{files[file]}#{start}" for file, start, *_ in places]
    order = sorted(texts)
    classes = tuple(texts[number] for number in order)
    if len(set(classes)) < len(classes):
        raise DataError(f"{root} has two numbers for one class in {TEXT}: {listed(classes)}.")
    index = {number: label for label, number in enumerate(order)}
    return Listing(
        Records(root, tuple(files), Names(names), np.array(places, np.int64), np.array(sizes)),
        np.array([index[number] for number in numbers], np.int32),
        np.array(parts, np.int8),
        classes,
    )


def _example(record: bytes, row: int) -> tuple[Piece, int, str, str]:
    """Returns where the image is, the number and name of its class, and its own name."""
    try:
        features = decode(record)
    except ValueError as error:
        raise ValueError(f"record {row}: {error}") from None
    image, number = features.get(ENCODED), features.get(LABEL)
    if not isinstance(image, Piece) or not isinstance(number, int):
        lacking = LABEL if isinstance(image, Piece) else ENCODED
        raise ValueError(f"record {row} has no {lacking}")
    text, name = (
        piece.of(record).decode("utf-8", "surrogateescape") if isinstance(piece, Piece) else ""
        for piece in (features.get(TEXT), features.get(NAME))
    )
    return image, number, text or str(number), name


def _is_shard(name: str) -> bool:
    return not name.startswith(".") and (
        name.lower().endswith(_SUFFIXES) or _NUMBERED.search(name) is not None
    )


def _part_of(name: str) -> int | None:
    for piece in name.split("/"):
        if word := re.match("[a-z]+", piece.casefold()):
            part = PART_NAMES.get(word[0])
            if part is not None:
                return part
    return None
