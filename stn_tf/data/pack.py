"""Writes a collection as TFRecord shards."""

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stn_tf.data.collection import Collection
from stn_tf.data.listing import Listing
from stn_tf.data.shards import ENCODED, INDEX, LABEL, NAME, TEXT, Records, write_index
from stn_tf.data.split import PARTS
from stn_tf.data.tf_example import Piece, decode, encode, frame
from stn_tf.errors import DataError


class Packed(NamedTuple):
    """What was written."""

    folder: Path
    images: int
    shards: int
    bytes: int


def pack(
    collection: Collection,
    out: Path | str,
    *,
    shard_bytes: int = 128 * 2**20,
    on_image: Callable[[], None] = lambda: None,
) -> Packed:
    """Writes images as they are in their files, with their names, classes and parts.

    A folder `out` is there as a whole or not at all. Its records are `tf.train.Example`s with
    `image/encoded`, `image/class/label`, `image/class/text` and `image/filename`; each part has its
    own shards, such as `train-00000-of-00007.tfrecord`, where images are shuffled by the hash of
    their names. An index beside them keeps the order of the collection.

    Args:
        collection: What to write.
        out: A folder that is not there yet, or empty.
        shard_bytes: A shard ends with the image that reaches this.
        on_image: Called after each image.

    Raises:
        DataError: If an image cannot be read, or the folder cannot be written.
    """
    out = Path(out)
    if shard_bytes < 1:
        raise ValueError(f"`shard_bytes` must be at least 1, but it is {shard_bytes}.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DataError(f"{out} is there already. Choose another folder with --out, or remove it.")
    partial = out.absolute().with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        listing = _write(collection, partial, shard_bytes, on_image)
        write_index(partial / INDEX, listing)
        assert isinstance(listing.store, Records)
        written = sum(path.stat().st_size for path in partial.iterdir())
        os.replace(partial, out)
    except OSError as error:
        raise DataError(f"{out} cannot be written: {error.strerror or error}.") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Packed(out, len(listing), len(listing.store.files), written)


def _write(
    collection: Collection, folder: Path, shard_bytes: int, on_image: Callable[[], None]
) -> Listing:
    """Writes the shards and returns the collection as it lies in them."""
    listing = collection.listing
    places = np.zeros((len(listing), 4), np.int64)
    sizes = np.zeros(len(listing), np.int64)
    names = listing.store.names
    files: list[str] = []
    for part, word in enumerate(PARTS):
        members = np.flatnonzero(listing.parts == part)
        order = sorted(members.tolist(), key=lambda index: _hash(names[index]))
        shards = 0
        while order:
            written = 0
            shards += 1
            with (folder / f"{word}-{shards}").open("wb") as file:
                while order and written < shard_bytes:
                    index = order.pop()
                    record, image = _record(listing, index)
                    framed = frame(record)
                    places[index] = len(files) + shards - 1, written, len(framed), image.start
                    sizes[index] = image.stop - image.start
                    file.write(framed)
                    written += len(framed)
                    on_image()
                file.flush()
                os.fsync(file.fileno())
        for shard in range(shards):
            files.append(f"{word}-{shard:05}-of-{shards:05}.tfrecord")
            (folder / f"{word}-{shard + 1}").rename(folder / files[-1])
    store = Records(folder, tuple(files), names, places, sizes)
    return dataclasses.replace(listing, store=store)


def _record(listing: Listing, index: int) -> tuple[bytes, Piece]:
    name, label = listing.store.names[index], int(listing.labels[index])
    try:
        opened = listing.store.open(index)
        if isinstance(opened, Path):
            image = opened.read_bytes()
        else:
            with opened:
                image = opened.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"The image {name} cannot be read: {reason}. Mend or remove it.") from None
    features: dict[str, bytes | int] = {
        NAME: name.encode("utf-8", "surrogateescape"),
        LABEL: label,
        TEXT: listing.classes[label].encode("utf-8", "surrogateescape"),
        ENCODED: image,
    }
    record = encode(features)
    piece = decode(record)[ENCODED]
    assert isinstance(piece, Piece)
    return record, piece


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
