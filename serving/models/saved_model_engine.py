"""Runs a version's SavedModel in TensorFlow."""

from pathlib import Path
from typing import Any

import numpy as np

from stn_tf.errors import ModelError
from stn_tf.export.publish.manifest import read_manifest
from stn_tf.serving.models.directory import SAVED_MODEL_FILE, verify_files
from stn_tf.serving.models.engine import Engine

# The signatures whose outputs make up an answer. Of a model without transformers only the first:
# the others may be its own, and mean something else.
_SIGNATURES = ("serving_default", "localize", "rectify")


class SavedModelEngine(Engine):
    """A loaded SavedModel, whose signatures are answered together."""

    name = "saved_model"

    def __init__(self, version_dir: Path, *, threads: int | None = None) -> None:
        """Loads `saved_model.pb` and `variables/` of a version directory.

        Args:
            version_dir: A folder that `find_version` returned.
            threads: CPU threads of one operation. TensorFlow has one such setting per process,
                which can be given only before TensorFlow has started.
        """
        import tensorflow as tf

        super().__init__(version_dir, read_manifest(version_dir))
        hashes = self.manifest.sha256
        verify_files(
            version_dir,
            hashes,
            [name for name in hashes if name == SAVED_MODEL_FILE or name.startswith("variables/")],
        )
        if threads is not None:
            _limit_threads(threads)
        try:
            # Kept: the signatures' variables live only as long as this object.
            self._loaded = tf.saved_model.load(str(version_dir))
            signatures = {
                name: self._loaded.signatures[name]
                for name in _SIGNATURES[: None if self.manifest.samplers else 1]
                if name in self._loaded.signatures
            }
            default = signatures["serving_default"]
            _, keywords = default.structured_input_signature
            (self._input,) = keywords
        except Exception as error:  # TensorFlow raises a dozen kinds for damaged files.
            raise ModelError(
                f"`{version_dir / SAVED_MODEL_FILE}` is no SavedModel that TensorFlow "
                f"{tf.__version__} can load: {_reason(error)} Copy it again or run `stn-tf export`."
            ) from error

        @tf.function(autograph=False, reduce_retracing=True)
        def answer(images: Any) -> dict[str, Any]:
            # In one graph, so that the localisation network shared by all three is run once.
            outputs: dict[str, Any] = {}
            for signature in signatures.values():
                outputs.update(signature(**{self._input: images}))
            return outputs

        spec = keywords[self._input]
        self._answer = answer.get_concrete_function(tf.TensorSpec(spec.shape, spec.dtype))

    def _run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        import tensorflow as tf

        outputs = self._answer(tf.constant(images))
        return {name: value.numpy() for name, value in outputs.items()}


def _limit_threads(threads: int) -> None:
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise ValueError(
            "`threads` cannot be set any more, because TensorFlow has already started. "
            "Load this engine first, or use the engine onnx."
        ) from error


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith(".") else f"{text}."
