"""The images of a part by number, decoded in threads and kept where asked."""

import contextlib
import functools
import hashlib
import logging
import math
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import PIL

from stn_tf.data.collection import Part
from stn_tf.data.fitting import rounded
from stn_tf.data.image_file import UNREADABLE, read_pixels
from stn_tf.data.kept import ABSENT, EXACT, ROUNDED, InMemory, Kept, Nothing, OnDisk
from stn_tf.data.memory import available_bytes
from stn_tf.errors import ConfigError, DataError
from stn_tf.interface import InputSpec

if TYPE_CHECKING:
    import tensorflow as tf

_LOG = logging.getLogger(__name__)

CACHES = ("auto", "memory", "disk", "none")
# Of the memory that is free when a part is first used.
_SHARE = 0.25
# Changes where images are decoded in another way.
_DECODER = "1"


def stored_size(spec: InputSpec, oversample: float = 1.15) -> tuple[int, int]:
    """Returns the height and width of `stored_spec`."""
    height, width = stored_spec(spec, oversample).size
    assert height is not None
    assert width is not None
    return height, width


def stored_spec(spec: InputSpec, oversample: float = 1.15) -> InputSpec:
    """Returns how training images are kept: larger than a model takes them, by `oversample`.

    Augmentation then crops and zooms without making pixels up. Of `center_crop`, what evaluation
    cuts off is kept too, so that it can be seen in training.

    Args:
        spec: The model's input; of a fixed size.
        oversample: At least 1, by which factor a side is longer. With 1, images are kept as
            evaluation sees them.

    Raises:
        ValueError: If `oversample` is below 1 or the size is not fixed.
    """
    if not oversample >= 1:
        raise ValueError(f"`oversample` must be at least 1, but it is {oversample}.")
    height, width = spec.size
    if height is None or width is None:
        raise ValueError("`spec` must be of a fixed height and width. Give it `image_size`.")
    if oversample == 1:
        return spec
    crop_pct = spec.crop_pct if spec.resize == "center_crop" else 1.0
    factor = max(oversample, 1 / crop_pct)
    tall, wide = round(height * factor), round(width * factor)
    shape = list(spec.shape)
    axis = 1 if spec.layout == "NHWC" else 2
    shape[axis : axis + 2] = [tall, wide]
    return spec.model_copy(update={"shape": tuple(shape), "crop_pct": 1.0})


class DecodedImages:
    """The images of a part as uint8 pixels of one size.

    Args:
        part: The images.
        spec: The input of the model that will see them.
        oversample: By which factor they are kept larger: see `stored_spec`.
        cache: Where decoded images are kept: `memory`; `disk`, in `cache_dir`; `none`; or `auto`,
            in memory, as many as fit into a quarter of what is free.
        cache_dir: Of `disk`: a folder, which is made.
        limit_bytes: Of `auto`: how much memory instead.
        on_unreadable: What an image that cannot be decoded leads to: `stop` raises DataError, with
            `skip` the next readable one of its class is taken instead.

    Attributes:
        part: The images.
        spec: How they are kept: size, colours and how they are fitted.
        shape: Height, width and channels.
        keeps_all: Whether every image is decoded once at most.
        notes: What was decided, a line each.

    Raises:
        ConfigError: If `cache` is none of these, its folder cannot be used, or there is no room.
        ModelError: If image files cannot become the input.
    """

    def __init__(
        self,
        part: Part,
        spec: InputSpec,
        *,
        oversample: float = 1.0,
        cache: str = "auto",
        cache_dir: str | os.PathLike[str] | None = None,
        limit_bytes: int | None = None,
        on_unreadable: Literal["stop", "skip"] = "stop",
    ) -> None:
        if cache not in CACHES:
            raise ConfigError(f"`cache` must be one of {', '.join(CACHES)}, but it is {cache!r}.")
        spec.require_decodable()
        self.part = part
        self.spec = stored_spec(spec, oversample)
        assert self.spec.channels is not None
        self.shape = (*stored_size(self.spec, 1), self.spec.channels)
        self.notes: tuple[str, ...] = ()
        self._on_unreadable = on_unreadable
        self._skipped: set[int] = set()
        self._kept: Kept = Nothing()
        self.keeps_all = cache != "none"
        self._choose(cache, cache_dir, limit_bytes)

    def __len__(self) -> int:
        return len(self.part)

    def read(self, indices: "tf.Tensor") -> "tf.Tensor":
        """Returns images by their numbers, also in a graph.

        Args:
            indices: int64 `[n]`.

        Returns:
            uint8 `[n, height, width, channels]`.
        """
        import tensorflow as tf

        images = tf.numpy_function(self.pixels, [indices], tf.uint8, stateful=False)
        images.set_shape([indices.shape[0], *self.shape])
        return images

    def pixels(self, indices: np.ndarray) -> np.ndarray:
        """Returns images by their numbers; int `[n]` -> uint8 `[n, height, width, channels]`.

        Raises:
            DataError: If one of them cannot be decoded.
        """
        return self.pixels_and_states(indices)[0]

    def pixels_and_states(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns images, and whether each is EXACT or was ROUNDED from more than 8 bits."""
        images = np.empty((len(indices), *self.shape), np.uint8)
        states = self._kept.get(indices, images)

        def decode(position: int) -> None:
            index = int(indices[position])
            images[position], states[position] = self._decode(index)
            self._kept.put(index, images[position], int(states[position]))

        in_decoding_threads(decode, np.flatnonzero(states == ABSENT))
        return images, states

    def _choose(
        self, cache: str, cache_dir: str | os.PathLike[str] | None, limit_bytes: int | None
    ) -> None:
        count, each = len(self), math.prod(self.shape)
        size = f"{count * each / 2**30:.2f} GiB"
        if cache == "memory":
            if count * each > (free := available_bytes()):
                raise ConfigError(
                    f"`cache` is memory, but {count:,} decoded images need {size} and "
                    f"{free / 2**30:.2f} GiB are free. Choose cache=auto, disk or none, or a "
                    "smaller image_size."
                )
            self._kept = InMemory(count, self.shape, count * each)
            self.notes = (f"{count:,} decoded images are kept in memory: {size} (cache=memory).",)
        elif cache == "disk":
            if cache_dir is None:
                raise ConfigError(
                    "`cache_dir` must name a folder for cache=disk, but none was given. Add "
                    "cache_dir=DIR, on a fast disk of this machine."
                )
            self._kept = OnDisk(Path(cache_dir), self._identity(), count, self.shape)
            self.notes = (
                f"{count:,} decoded images are kept in {cache_dir}: {size} (cache=disk).",
            )
        elif cache == "auto":
            limit = int(_SHARE * available_bytes()) if limit_bytes is None else limit_bytes
            self._kept = InMemory(count, self.shape, limit)
            self.notes = (f"{count:,} decoded images are kept in memory: {size} (cache=auto).",)
            if self._kept.capacity < count:
                self.keeps_all = False
                self.notes = (
                    f"{self._kept.capacity:,} of {count:,} decoded images are kept in memory, "
                    f"where {limit / 2**30:.2f} GiB are free for them; the others are decoded each "
                    "time (cache=auto; cache=disk keeps all).",
                )

    def _identity(self) -> str:
        """What differs where the files do, or what is made of them."""
        made = self.spec.model_dump_json(exclude={"name", "dtype", "value_range", "mean", "std"})
        text = " ".join((self.part.store.fingerprint(), made, PIL.__version__, _DECODER))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _decode(self, index: int) -> tuple[np.ndarray, int]:
        try:
            pixels, _ = read_pixels(self.part.open(index), self.spec)
        except UNREADABLE as error:
            if self._on_unreadable == "stop":
                reason = str(error).splitlines()[0] if str(error) else repr(error)
                raise DataError(
                    f"The image {self.part.names[index]} cannot be read: {reason}. Replace it by a "
                    "readable copy, or leave it out by on_unreadable=skip."
                ) from None
            if index not in self._skipped:
                self._skipped.add(index)
                _LOG.warning(
                    "The image %s cannot be read: another of its class is taken instead.",
                    self.part.names[index],
                )
            return self._decode_next(index)
        if pixels.dtype == np.uint8:
            return pixels, EXACT
        return rounded(pixels), ROUNDED

    def _decode_next(self, index: int) -> tuple[np.ndarray, int]:
        """Decodes the next readable image of the same class."""
        (same,) = np.nonzero(self.part.labels == self.part.labels[index])
        place = int(np.searchsorted(same, index))
        for other in [*same[place + 1 :], *same[:place]]:
            with contextlib.suppress(*UNREADABLE):
                pixels, _ = read_pixels(self.part.open(int(other)), self.spec)
                return (pixels if pixels.dtype == np.uint8 else rounded(pixels)), ROUNDED
        raise DataError(
            f"The image {self.part.names[index]} cannot be read, nor can any other of its class. "
            "Add readable ones."
        )


def in_decoding_threads(decode: Callable[[int], None], positions: np.ndarray) -> None:
    """Calls `decode` for each position; Pillow decodes outside of the interpreter lock."""
    if len(positions) == 1:
        decode(int(positions[0]))
    elif len(positions):
        for _ in _pool().map(decode, positions.tolist()):
            pass


@contextlib.contextmanager
def data_errors() -> Iterator[None]:
    """Raises the DataError of an image instead of TensorFlow's error around it.

    What is raised in a function of `tf.data` arrives as an error of TensorFlow, whose text holds
    the original's name, text and trace.
    """
    try:
        yield
    except Exception as error:
        text = str(getattr(error, "message", ""))
        if found := re.search(r"\bDataError: (.+)", text):
            raise DataError(found[1]) from error
        raise


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode")
