"""Runs the SavedModel of a version in TensorFlow."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from stn_tf.errors import ExportError
from stn_tf.export.proof.comparison import Answers
from stn_tf.export.proof.runtimes import Prepared
from stn_tf.export.publish.manifest import BYTES_SIGNATURE, DEFAULT, LOOKING, Manifest

# Read when TensorFlow starts.
THREADS = "TF_NUM_INTRAOP_THREADS"


def load(folder: Path, manifest: Manifest) -> dict[str, Answers]:
    """Returns the SavedModel, of which a GPU computes in full float32."""
    answers = saved_model(load_saved_model(folder), looks=bool(manifest.samplers))

    def exact(feeds: Mapping[str, np.ndarray], signature: str) -> dict[str, np.ndarray] | None:
        with without_tensor_float_32():
            return answers(feeds, signature)

    return {"saved_model": exact}


def prepare(folder: Path, manifest: Manifest, threads: int) -> dict[str, Prepared]:
    """Returns the default signature for timing.

    Raises:
        ExportError: If TensorFlow has started with another number of threads.
    """
    if threads and os.environ.get(THREADS) != str(threads):
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError:
            raise ExportError(
                f"`threads` must be set before TensorFlow starts, but it has. Set {THREADS}="
                f"{threads} in the environment."
            ) from None
    loaded = load_saved_model(folder)
    function = loaded.signatures[DEFAULT]

    def run(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert loaded.signatures  # It owns the variables.
        values = function(**{name: tf.constant(value) for name, value in feeds.items()})
        return {name: value.numpy() for name, value in values.items()}

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return {"saved_model": Prepared(run, devices[0].name.removeprefix("/device:"))}


def load_saved_model(version_dir: Path) -> Any:
    """Loads the SavedModel of a version, as TensorFlow does: it owns its signatures' variables."""
    return tf.saved_model.load(str(version_dir))


def saved_model(loaded: Any, *, looks: bool) -> Answers:
    """Returns what a SavedModel says in a signature.

    Args:
        loaded: The SavedModel.
        looks: Whether `localize` and `rectify` tell of the default signature's transformers, and
            are asked with it; they may be signatures of a user's own.
    """

    def answer(feeds: Mapping[str, np.ndarray], signature: str) -> dict[str, np.ndarray] | None:
        together = (DEFAULT, *LOOKING) if looks and signature == DEFAULT else (signature,)
        outputs: dict[str, np.ndarray] = {}
        for name in together:
            function = loaded.signatures.get(name) if name in loaded.signatures else None
            if function is None:
                continue
            values = function(**{key: tf.constant(value) for key, value in feeds.items()})
            outputs |= {key: value.numpy() for key, value in values.items()}
        return outputs

    return answer


def from_bytes(loaded: Any) -> Callable[[list[bytes]], dict[str, np.ndarray]] | None:
    """Returns what `serving_bytes` says about encoded images; None without such a signature."""
    if BYTES_SIGNATURE not in loaded.signatures:
        return None

    def answer(encoded: list[bytes]) -> dict[str, np.ndarray]:
        values = loaded.signatures[BYTES_SIGNATURE](image_bytes=tf.constant(encoded))
        return {name: value.numpy() for name, value in values.items()}

    return answer


@contextlib.contextmanager
def without_tensor_float_32() -> Iterator[None]:
    """Lets a GPU compute in full float32: TensorFloat-32 keeps 10 bits, too few to compare."""
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(enabled)
