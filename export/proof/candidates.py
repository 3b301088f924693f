"""The exported files of a version as functions from inputs to outputs, for comparison."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from stn_tf.export.onnx_passes.find import samplers_in
from stn_tf.export.proof.expectations import DEFAULT
from stn_tf.export.proof.onnx_runtimes import Answers as Run
from stn_tf.export.proof.onnx_runtimes import onnx_runtime
from stn_tf.export.sampler_spec import is_ours
from stn_tf.libraries import onnxruntime_library

# Inputs by name, and the signature where a file has several -> outputs by name.
Answers = Callable[[Mapping[str, np.ndarray], str], dict[str, np.ndarray] | None]

BYTES_SIGNATURE = "serving_bytes"
# Those that are about the same inputs as the default one.
_LOOKING = ("localize", "rectify")


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
        together = (DEFAULT, *_LOOKING) if looks and signature == DEFAULT else (signature,)
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


def onnx_runtimes(model: onnx.ModelProto) -> dict[str, Run]:
    """Returns an ONNX file in ONNX Runtime: as it is, without optimisations, with our library.

    A file whose operations are ours alone runs with our library only.
    """
    ours = any(map(is_ours, samplers_in(model)))
    standing = bool(model.functions) or not ours
    serialized = model.SerializeToString()
    found: dict[str, Run] = {}
    if standing:
        found["onnx_runtime"] = onnx_runtime(serialized, ours=False)
        found["onnx_runtime/unoptimised"] = onnx_runtime(serialized, ours=False, optimised=False)
    if ours and onnxruntime_library() is not None:
        found["onnx_runtime/ours"] = onnx_runtime(serialized)
    return found


def default_alone(run: Run) -> Answers:
    """An ONNX file has the default signature alone."""

    def answer(feeds: Mapping[str, np.ndarray], signature: str) -> dict[str, np.ndarray] | None:
        return run(feeds) if signature == DEFAULT else None

    return answer
