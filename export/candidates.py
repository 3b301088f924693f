"""The exported files of a version as functions from inputs to outputs, for comparison."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf

from stn_tf.export import onnx_form
from stn_tf.export.onnx_file import ONNX_FILE
from stn_tf.export.onnx_runtimes import onnx_runtime, reference_evaluator
from stn_tf.libraries import onnxruntime_library

Answers = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]

BYTES_SIGNATURE = "serving_bytes"


def saved_model(version_dir: Path) -> Answers:
    """Returns all that the signatures of a SavedModel say about a batch of tensors."""
    loaded = tf.saved_model.load(str(version_dir))
    signatures = dict(loaded.signatures)
    signatures.pop(BYTES_SIGNATURE, None)

    def answer(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        # `loaded` owns the variables of the signatures.
        assert loaded.signatures
        outputs: dict[str, np.ndarray] = {}
        for signature in signatures.values():
            names = signature.structured_input_signature[1]
            if set(names) == set(feeds):
                values = signature(**{name: tf.constant(feeds[name]) for name in names})
                outputs |= {name: value.numpy() for name, value in values.items()}
        return outputs

    return answer


def from_bytes(version_dir: Path) -> Callable[[list[bytes]], dict[str, np.ndarray]] | None:
    """Returns what `serving_bytes` says about encoded images; None without such a signature."""
    loaded = tf.saved_model.load(str(version_dir))
    if BYTES_SIGNATURE not in loaded.signatures:
        return None

    def answer(encoded: list[bytes]) -> dict[str, np.ndarray]:
        values = loaded.signatures[BYTES_SIGNATURE](image_bytes=tf.constant(encoded))
        return {name: value.numpy() for name, value in values.items()}

    return answer


def onnx_runtimes(model: onnx.ModelProto) -> dict[str, Answers]:
    """Returns an ONNX file in ONNX Runtime without and with our library, and in the reference.

    A file whose operations are ours alone runs with our library only.
    """
    ours = any(node.domain == onnx_form.DOMAIN for node in onnx_form.nodes(model.graph))
    standing = bool(model.functions) or not ours
    serialized = model.SerializeToString()
    found: dict[str, Answers] = {}
    if standing:
        found["onnx_runtime"] = onnx_runtime(serialized, ours=False)
        found["onnx_reference"] = reference_evaluator(serialized)
    if ours and onnxruntime_library() is not None:
        found["onnx_runtime/ours"] = onnx_runtime(serialized)
    return found


def candidates(version_dir: Path) -> dict[str, Answers]:
    """Returns every file of a version, in every runtime, by name."""
    model = onnx.load(version_dir / ONNX_FILE)
    return {"saved_model": saved_model(version_dir), **onnx_runtimes(model)}
