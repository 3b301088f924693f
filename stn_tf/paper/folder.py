"""The source `folder`: the user's own images, held in memory to be distorted as the paper does."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stn_tf.data import Part, load_collection
from stn_tf.data.image_file import UNREADABLE, Header, read_image
from stn_tf.data.listing import in_threads
from stn_tf.errors import DataError
from stn_tf.paper.source import Examples, Source

# Decoded images stay in memory while training.
_MOST_BYTES = 8 * 2**30


def load(data_dir: Path, image_size: tuple[int, int] | None, channels: int | None) -> Source:
    """Returns the images of `stn_tf.data.load_collection`, letterboxed.

    Raises:
        DataError: If they cannot be read, differ in size where none is given, or are too many.
    """
    collection = load_collection(data_dir, kind="folder")
    if image_size is None or channels is None:
        everything = collection.everything
        headers = everything.headers(len(everything))
        image_size = image_size or _common_size(headers)
        channels = channels or max(header.channels for header in headers)
    needed = len(collection.everything) * image_size[0] * image_size[1] * channels
    if needed > _MOST_BYTES:
        raise DataError(
            f"`image_size` is {image_size[0]}x{image_size[1]}: {len(collection.everything):,} "
            f"images of it need {needed / 2**30:.1f} GiB of memory, but at most "
            f"{_MOST_BYTES / 2**30:.1f} GiB are allowed. Choose a smaller `image_size`."
        )
    return Source(
        train=_read(collection.train, image_size, channels),
        validation=_read(collection.validation, image_size, channels),
        test=_read(collection.test, image_size, channels),
        classes=collection.classes,
        notes=collection.notes,
    )


def _read(part: Part, size: tuple[int, int], channels: int) -> Examples:
    def image(index: int) -> np.ndarray:
        try:
            return read_image(part.open(index), size, channels)
        except UNREADABLE as error:
            reason = str(error).splitlines()[0] if str(error) else repr(error)
            raise DataError(
                f"The image {part.names[index]} cannot be read: {reason}. Replace it by a readable "
                "copy, or remove it."
            ) from None

    return Examples(np.stack(list(in_threads(image, len(part)))), part.labels)


def _common_size(headers: Sequence[Header]) -> tuple[int, int]:
    sizes = sorted({(header.height, header.width) for header in headers})
    if len(sizes) > 1:
        raise DataError(
            "`image_size` must be given, because the images differ in size: from "
            f"{sizes[0][0]}x{sizes[0][1]} to {sizes[-1][0]}x{sizes[-1][1]}. Set it to "
            "(height, width), for example (64, 64)."
        )
    return sizes[0]
